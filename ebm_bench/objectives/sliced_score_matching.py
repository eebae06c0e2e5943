"""Sliced score matching."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import curvature
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class SlicedScoreMatching(Objective):
    """Match the score along random directions, one second derivative each.

    ``mean[ ½(v·∇E)² − vᵀ∇²E v ]`` with ``E[vvᵀ] = I``; variance-reduced, the first term is
    replaced by its mean over directions, ``½‖∇E‖²``. Both have the value of exact score
    matching in expectation over the directions.

    Parameters
    ----------
    variance_reduced : bool
        Whether to use the closed-form mean of the first term.
    projections : int
        Number of directions per point.
    projection : str
        Distribution of the directions: ``gaussian`` or ``rademacher``.

    References
    ----------
    Song, Garg, Shi and Ermon, "Sliced score matching: a scalable approach to density and score
    estimation", UAI 2019, arXiv:1905.07088.
    """

    kind = "score matching"
    requires = ("smooth",)
    search = {"projections": (1, 2, 4), "projection": ("gaussian", "rademacher")}  # noqa: RUF012

    variance_reduced: bool = True
    projections: Annotated[int, Ge(1)] = 1
    projection: Literal["gaussian", "rademacher"] = "gaussian"

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Sliced loss of a batch (R, B, *event_shape), shape (R,)."""
        draw = streams.normal if self.projection == "gaussian" else streams.rademacher
        v = draw(self.projections, *x.shape[1:], dtype=x.dtype)
        gradient, total = curvature(energy, x, v)
        if self.variance_reduced:
            norm = gradient.flatten(2).square().sum(2)
        else:
            norm = (v * gradient.unsqueeze(1)).flatten(3).sum(3).square().mean(1)
        return (0.5 * norm - total / self.projections).mean(1)
