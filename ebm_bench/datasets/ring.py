"""A ring, or shell, of any dimension."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.datasets.base import Vectors
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_RADIUS, _SD = 4.0, 0.5


@register
@dataclass(eq=False, kw_only=True)
class Ring(Vectors):
    """A uniform direction and a Gaussian radius of mean 4 and sd 0.5.

    The origin is eight standard deviations away: a negative radius has probability 6e-16, so
    the Gaussian is the radius' density to the precision of float64. The density of points
    is ``N(|x|; 4, 0.5²) / (area of the sphere of radius |x|)``.

    Parameters
    ----------
    dimension : int
        Number of coordinates.
    """

    dimension: Annotated[int, Ge(2)] = 5

    knows = ("log_prob", "score", "entropy", "parameters")
    citation = "Ceylan and Gutmann 2018, Conditional noise-contrastive estimation, arXiv:1806.03664"

    @property
    def parameters(self) -> dict[str, Tensor]:
        """True parameters: ``radius`` and ``precision`` of the radius."""
        values = {"radius": _RADIUS, "precision": _SD**-2}
        return {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Bounds of each coordinate, five standard deviations beyond the radius."""
        reach = _RADIUS + 5 * _SD
        return ((-reach, reach),) * self.dimension

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d)."""
        direction = streams.normal(n, self.dimension)
        radius = _RADIUS + _SD * streams.normal(n, 1)
        return radius * direction / direction.norm(dim=-1, keepdim=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        radius = x.norm(dim=-1)
        deviation = (radius - _RADIUS) / _SD
        return -0.5 * deviation**2 - (self.dimension - 1) * radius.log() - self._constant

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        radius = x.norm(dim=-1, keepdim=True)
        slope = (_RADIUS - radius) / _SD**2 - (self.dimension - 1) / radius
        return slope * x / radius

    def entropy(self) -> float:
        """Differential entropy in nats; the mean log-radius by Gauss and Hermite's rule."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(32)
        mean_log = weights @ np.log(np.abs(_RADIUS + _SD * nodes)) / weights.sum()
        return 0.5 + (self.dimension - 1) * float(mean_log) + self._constant

    @property
    def _constant(self) -> float:
        """Log-normaliser of the radius plus the log-area of the unit sphere."""
        half = self.dimension / 2
        area = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
        return 0.5 * math.log(2 * math.pi) + math.log(_SD) + area
