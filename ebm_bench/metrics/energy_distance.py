"""Energy distance between samples and data."""

import operator
from dataclasses import dataclass
from functools import reduce
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class EnergyDistance(Metric):
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

    points: Annotated[int, Ge(2)] = 2_000

    version = 1
    requires = ("grid",)
    label = "energy distance"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        y = dataset.sample(self.points, streams.child("data"), split=self.split).flatten(2).double()
        x = model.samples(self.points).flatten(2).double()
        pairs = self.points * (self.points - 1)
        within = (_distances(x, x) + _distances(y, y)) / pairs
        return {"value": 2 * _distances(x, y) / self.points**2 - within}


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Sum the distances of all pairs, (R,), in blocks of rows that stay in cache."""
    return reduce(operator.add, (torch.cdist(rows, y).sum((1, 2)) for rows in x.split(64, 1)))
