"""The two moons that ebmkit draws, with their density."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ebm_bench.datasets.planar import GaussianSum
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_PLACES = 128  # on each half circle


@register
@dataclass(eq=False, kw_only=True)
class UnitMoons(GaussianSum):
    """Two interleaved half circles of radius 1, blurred by sd 0.1, around the origin.

    Points are drawn around 128 places on each half circle, evenly spaced by a quarter of the
    blur, so that their density is a sum.
    """

    citation = "ebmkit 0.16.0, `ebm.datasets.two_moons`, https://github.com/davidkhjo/ebmkit"
    sd = 0.1
    box = ((-2.05, 2.05), (-1.3, 1.3))

    @cached_property
    def centres(self) -> Tensor:
        """Places in float64, shape (K, 2)."""
        angle = math.pi * (torch.arange(_PLACES, dtype=torch.float64) + 0.5) / _PLACES
        upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
        return torch.cat([upper, -upper])

    @cached_property
    def weights(self) -> Tensor:
        """Weights of the places in float64, shape (K,)."""
        return torch.full((2 * _PLACES,), 0.5 / _PLACES, dtype=torch.float64)

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        chosen = streams.integers(2 * _PLACES, n)
        noise = streams.normal(n, 2)
        return self.centres.to(noise)[chosen] + self.sd * noise
