"""Sliced Wasserstein distance between samples and data."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class SlicedWasserstein(Metric):
    """Sliced 2-Wasserstein distance of samples to held-out data.

    The root of the mean, over random directions, of the squared distance between the sorted
    projections. Positive for a perfect model too, because both sides are samples.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    projections : int
        Number of directions.

    References
    ----------
    Bonneel et al., "Sliced and Radon Wasserstein barycenters of measures", 2015,
    doi:10.1007/s10851-014-0506-3.
    """

    points: Annotated[int, Ge(2)] = 2_000
    projections: Annotated[int, Ge(1)] = 100

    version = 1
    requires = ("grid",)
    label = "sliced Wasserstein"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        y = dataset.sample(self.points, streams.child("data"), split=self.split).flatten(2)
        x = model.samples(self.points).flatten(2)
        directions = streams.child("projections").normal(x.shape[2], self.projections)
        directions = (directions / directions.norm(dim=1, keepdim=True)).to(x)
        gaps = (x @ directions).sort(1).values - (y @ directions).sort(1).values
        return {"value": gaps.double().square().mean((1, 2)).sqrt()}
