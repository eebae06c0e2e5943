"""Exact score matching."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import laplacian
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ExactScoreMatching(Objective):
    """Match the model's score to the data's, with the exact Laplacian of the energy.

    ``J = mean[ ½‖∇E‖² − ΔE ]``, the Fisher divergence up to a constant, after integration by
    parts: the data density must be smooth and vanish at the border of its support.

    Parameters
    ----------
    points : int, optional
        Points of each batch that the loss is the mean over; all by default. Images have thousands
        of dimensions, each of which costs a second derivative.

    References
    ----------
    Hyvärinen, "Estimation of non-normalized statistical models by score matching", JMLR 2005,
    https://jmlr.org/papers/v6/hyvarinen05a.html.
    """

    kind = "score matching"
    requires = ("smooth",)

    points: Annotated[int, Ge(1)] | None = None

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Hyvärinen's loss of a batch (R, B, *event_shape), shape (R,)."""
        gradient, trace = laplacian(energy, x[:, : self.points])
        return (0.5 * gradient.flatten(2).square().sum(2) - trace).mean(1)
