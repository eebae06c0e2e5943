"""Minimum probability flow."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.nearby import energy_gaps
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class MinimumProbabilityFlow(Objective):
    """Slow the flow of probability from the data to points nearby.

    ``mean exp(½(E(x) − E(y)))`` with ``y = x + εξ``: the rate at which dynamics that lead to the
    model leave the data, up to a factor. For small ε the loss is ``1 + (ε²/4) J`` with Hyvärinen's
    ``J`` of score matching.

    Parameters
    ----------
    epsilon : float
        Standard deviation of the steps that the dynamics take, in units of the data.
    ratio : int
        Points nearby for each data point.

    References
    ----------
    Sohl-Dickstein, Battaglino and DeWeese, "Minimum probability flow learning", ICML 2011,
    arXiv:0906.4779. There are discrete states, of which each has neighbours; in place of these are
    Gaussian steps here.
    """

    kind = "score matching"
    search = {"epsilon": (0.1, 0.3, 1.0), "ratio": (1, 2, 5)}  # noqa: RUF012

    epsilon: Annotated[float, Gt(0)] = 0.3
    ratio: Annotated[int, Ge(1)] = 1

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Flow out of a batch (R, B, *event_shape), shape (R,)."""
        noise = streams.normal(self.ratio, *x.shape[1:], dtype=x.dtype)
        gap = energy_gaps(energy, x, x.unsqueeze(1) + self.epsilon * noise)
        return (0.5 * gap).exp().mean((1, 2))
