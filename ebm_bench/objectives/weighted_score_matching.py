"""Score matching for densities with a border."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives import curvature
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class WeightedScoreMatching(Objective):
    """Match scores with weights that vanish on the border of the data.

    ``mean Σ_i [ ½h_i (∂_iE)² − ∂_i(h_i ∂_iE) ]``: the Fisher divergence with weights ``h_i``, up to
    a constant, after integration by parts. Where ``h_i`` is 0 on the border, the density need not
    be. ``h_i = min(δ_i/c_i, 1)^a`` with ``δ_i`` the distance of the coordinate from the nearer
    end of a box: that of the data it is fitted to. Points outside have the weight 0, so that the
    density within the box is learned; far from the border the loss is exact score matching.

    Parameters
    ----------
    width : float
        Distance from the border from where the weight is 1, ``c_i``, in standard deviations of the
        coordinate.
    power : float
        a, with which the weight rises: linearly, or as in the paper of 2007 with the square.
    projections : int
        Random signs with which second derivatives are estimated, for many dimensions; with 0 those
        by all coordinates are exact.

    References
    ----------
    Hyvärinen, "Some extensions of score matching", Computational Statistics & Data Analysis 2007,
    doi:10.1016/j.csda.2006.09.003: h(x) = x² for non-negative data. Yu, Drton and Shojaie,
    "Generalized score matching for non-negative data", JMLR 2019, arXiv:1812.10551, with weights
    that stop growing; "Generalized score matching for general domains", Information and Inference
    2022, arXiv:2009.11428, with distances from the border.
    """

    kind = "score matching"
    requires = ("smooth",)
    search = {"width": (0.1, 0.3, 1.0), "power": (1.0, 2.0)}  # noqa: RUF012

    width: Annotated[float, Gt(0)] = 0.3
    power: Annotated[float, Ge(1)] = 1.0
    projections: Annotated[int, Ge(0)] = 0

    def build(self, energy: Energy) -> None:
        """Make room for the box, which is unbounded before the fit."""
        super().build(energy)
        shape = (energy.replicates, 1, *energy.event_shape)
        self.low: Tensor
        self.high: Tensor
        self.reach: Tensor
        self.register_buffer("low", torch.full(shape, -torch.inf))
        self.register_buffer("high", torch.full(shape, torch.inf))
        self.register_buffer("reach", torch.ones(shape))

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Put the box around the data."""
        self.low.copy_(data.amin(1, keepdim=True))
        self.high.copy_(data.amax(1, keepdim=True))
        deviation = data.std(1, keepdim=True, correction=0)
        self.reach.copy_(self.width * deviation.clamp_min(1e-6))

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Weighted loss of a batch (R, B, *event_shape), shape (R,)."""
        weight, slope = self.weights(x)
        directions = self._directions(x, streams) * weight.sqrt().unsqueeze(1)
        gradient, second = curvature(energy, x, directions)
        terms = 0.5 * weight * gradient.square() - slope * gradient
        return (terms.flatten(2).sum(2) - second / max(self.projections, 1)).mean(1)

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``h_i`` of points (R, B, *event_shape), and ``∂_i h_i``, each of their shape."""
        below, above = x - self.low, self.high - x
        share = torch.minimum(below, above) / self.reach
        rising = torch.where(below < above, 1.0, -1.0) * ((share > 0) & (share < 1))
        share = share.clamp(0, 1)
        return share**self.power, rising * self.power * share ** (self.power - 1) / self.reach

    def _directions(self, x: Tensor, streams: Streams) -> Tensor:
        """Directions (R, K, B, *event_shape): all units, or random signs."""
        if self.projections:
            return streams.rademacher(self.projections, *x.shape[1:], dtype=x.dtype)
        size = x[0, 0].numel()
        units = torch.eye(size, dtype=x.dtype, device=x.device)
        return units.view(1, size, 1, *x.shape[2:])
