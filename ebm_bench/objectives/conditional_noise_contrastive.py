"""Conditional noise-contrastive estimation."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn.functional import softplus

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.nearby import energy_gaps
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ConditionalNoiseContrastive(Objective):
    """Classify each data point against noisy copies of itself, with the energy as the logit.

    ``2 mean log(1 + exp(E(x) − E(y)))`` with ``y = x + εξ``. The perturbation is symmetric, so
    that its density and the normaliser cancel. For small ε the loss
    is ``2 log 2 + (ε²/2) J`` with Hyvärinen's ``J`` of score matching.

    Parameters
    ----------
    epsilon : float
        Standard deviation of the perturbation, in units of the data.
    ratio : int
        κ, noisy copies for each data point.

    References
    ----------
    Ceylan and Gutmann, "Conditional noise-contrastive estimation of unnormalised models", ICML
    2018, arXiv:1806.03664.
    """

    kind = "noise contrastive"
    search = {"epsilon": (0.3, 1.0, 3.0), "ratio": (1, 2, 5)}  # noqa: RUF012

    epsilon: Annotated[float, Gt(0)] = 0.3
    ratio: Annotated[int, Ge(1)] = 1

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        noise = streams.normal(self.ratio, *x.shape[1:], dtype=x.dtype)
        gap = energy_gaps(energy, x, x.unsqueeze(1) + self.epsilon * noise)
        return 2 * softplus(gap).mean((1, 2))
