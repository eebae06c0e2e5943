"""Mixtures of isotropic Gaussians."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.datasets.planar import GaussianSum
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class _Mixture(GaussianSum):
    """A mixture whose components are the modes."""

    knows = ("log_prob", "grid", "score", "entropy", "modes", "smoothed_score")

    @property
    def modes(self) -> Tensor:
        """Centres of the modes in float64, shape (K, d)."""
        return self.centres

    @property
    def mode_weights(self) -> Tensor:
        """Weights of the components in float64, shape (K,)."""
        return self.weights

    @cached_property
    def weights(self) -> Tensor:
        """Equal weights in float64, shape (K,)."""
        return torch.full((len(self.centres),), 1 / len(self.centres), dtype=torch.float64)

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d)."""
        noise = streams.normal(n, *self.event_shape)
        upper = self.weights.cumsum(0)[:-1].to(noise)
        component = torch.bucketize(streams.uniform(n), upper, right=True)
        return self.centres.to(noise)[component] + self.sd * noise


@register
@dataclass(eq=False, kw_only=True)
class EightGaussians(_Mixture):
    """Eight Gaussians of sd 1/√8 on a circle of radius 2√2, the first at angle 0."""

    citation = "Grathwohl et al. 2019, FFJORD, arXiv:1810.01367"
    sd = 1 / math.sqrt(8)
    box = ((-4.8, 4.8), (-4.8, 4.8))

    @cached_property
    def centres(self) -> Tensor:
        """Centres of the components in float64, shape (8, 2)."""
        angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        return math.sqrt(8) * torch.stack([angle.cos(), angle.sin()], 1)


@register
@dataclass(eq=False, kw_only=True)
class GridGaussians(_Mixture):
    """Twenty-five Gaussians of sd √2/10 on a 5 × 5 grid of spacing √2 around the origin."""

    citation = "Schröder et al. 2023, Energy discrepancies, arXiv:2307.06431"
    sd = math.sqrt(2) / 10
    box = ((-3.6, 3.6), (-3.6, 3.6))

    @cached_property
    def centres(self) -> Tensor:
        """Centres of the components in float64, shape (25, 2)."""
        axis = math.sqrt(2) * torch.arange(-2, 3, dtype=torch.float64)
        return torch.cartesian_prod(axis, axis)


@register
@dataclass(eq=False, kw_only=True)
class WeightedGaussians(_Mixture):
    """Two unit Gaussians far apart: weight 0.2 at (−4, 0) and 0.8 at (4, 0).

    The score hardly depends on the weights, so score matching cannot estimate them.

    Parameters
    ----------
    separation : float
        Distance of the two means, along the first coordinate.
    dimension : int
        Number of coordinates; those after the first are standard normal. Only in the plane is
        there a grid.
    """

    separation: Annotated[float, Gt(0)] = 8.0
    dimension: Annotated[int, Ge(2)] = 2

    citation = "Song and Ermon 2019, Generative modeling by estimating gradients, arXiv:1907.05600"
    sd = 1.0

    @property
    def box(self) -> tuple[tuple[float, float], ...]:  # type: ignore[override] # any dimension
        """Bounds of each coordinate, five standard deviations beyond the means."""
        reach = self.separation / 2 + 5
        return ((-reach, reach), *[(-5.0, 5.0)] * (self.dimension - 1))

    @cached_property
    def centres(self) -> Tensor:
        """Centres of the components in float64, shape (2, d)."""
        centres = torch.zeros(2, self.dimension, dtype=torch.float64)
        centres[:, 0] = torch.tensor([-0.5, 0.5]) * self.separation
        return centres

    @cached_property
    def weights(self) -> Tensor:
        """Weights of the components in float64, shape (2,)."""
        return torch.tensor([0.2, 0.8], dtype=torch.float64)

    def entropy(self) -> float:
        """Differential entropy in nats: by the midpoint rule in the plane, exact beyond it."""
        plane = WeightedGaussians(separation=self.separation)
        return plane._entropy + 0.5 * (self.dimension - 2) * math.log(2 * math.pi * math.e)
