"""Distances of samples to data, where samples are exact."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class SampleDistance(Metric):
    """A distance of samples to held-out data.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    """

    points: Annotated[int, Ge(2)] = 2_000

    requires = ("grid",)

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        data = dataset.sample(self.points, streams.child("data"), split=self.split)
        samples = model.samples(self.points)
        return self.compare(samples.flatten(2).double(), data.flatten(2).double())

    @abstractmethod
    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the distance between points, each of shape (R, points, D), in float64."""
