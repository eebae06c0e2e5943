"""Sliced Wasserstein distance between samples and data."""

import math
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
class SlicedWasserstein(Metric):
    """Sliced 2-Wasserstein distance of samples to held-out data.

    The root of the mean, over directions, of the squared distance between the sorted
    projections. In the plane the directions are equally spaced, elsewhere they are random and come
    in orthogonal sets. Positive for a perfect model too, because both sides are samples.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    projections : int
        Number of directions.

    References
    ----------
    Bonneel et al., "Sliced and Radon Wasserstein barycenters of measures", 2015,
    doi:10.1007/s10851-014-0506-3. Rowland et al., "Orthogonal estimation of Wasserstein distances",
    AISTATS 2019, arXiv:1903.03784.
    """

    points: Annotated[int, Ge(2)] = 2_000
    projections: Annotated[int, Ge(1)] = 100

    version = 2
    requires = ("grid",)
    scale = "log"
    label = "sliced Wasserstein"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        y = dataset.sample(self.points, streams.child("data"), split=self.split).flatten(2)
        x = model.samples(self.points).flatten(2)
        directions = spaced(x.shape[2], self.projections, streams.child("projections")).to(x)
        gaps = (x @ directions).sort(1).values - (y @ directions).sort(1).values
        return {"value": gaps.double().square().mean((1, 2)).sqrt()}


def spaced(size: int, count: int, streams: Streams) -> Tensor:
    """Draw unit vectors that are well spaced.

    Parameters
    ----------
    size, count : int
        Number of dimensions, and of vectors.
    streams : Streams
        Source of randomness.

    Returns
    -------
    Tensor of shape (R, size, count)
        In the plane half a turn in equal angles, from a random one on.
    """
    if size == 2:
        angle = math.pi * (torch.arange(count, device=streams.device) + streams.uniform(1)) / count
        return torch.stack([angle.cos(), angle.sin()], 1)
    sets = [torch.linalg.qr(streams.normal(size, size)).Q for _ in range(math.ceil(count / size))]
    return torch.cat(sets, 2)[..., :count]
