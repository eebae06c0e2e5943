"""Energy distance between samples and data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.metrics.kernels import squared_discrepancy
from ebm_bench.metrics.samples import SampleDistance
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class EnergyDistance(SampleDistance):
    """Squared energy distance of samples to held-out data, without bias.

    ``2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖`` over pairs of different points; around a perfect
    model it scatters about 0 and may be negative.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.

    References
    ----------
    Székely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013,
    doi:10.1016/j.jspi.2013.03.018.
    """

    version = 1
    label = "energy distance"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the distance between points, each of shape (R, points, D)."""
        return squared_discrepancy(lambda a, b: torch.cdist(a, b).neg_(), samples, data)
