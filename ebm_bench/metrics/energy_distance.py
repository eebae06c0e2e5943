"""Energy distance between samples and data."""

from dataclasses import dataclass
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
    model it scatters about 0 and may be negative. Székely & Rizzo (2013), "Energy statistics".

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    """

    points: Annotated[int, Ge(2)] = 2_000

    version = 1
    requires = ("grid",)
    label = "energy distance"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        y = dataset.sample(self.points, streams.child("data"), split="test").flatten(2).double()
        x = model.samples(self.points).flatten(2).double()
        across = torch.cdist(x, y).mean((1, 2))
        pairs = self.points * (self.points - 1)
        within = sum(torch.cdist(z, z).sum((1, 2)) / pairs for z in (x, y))
        return {"value": 2 * across - within}
