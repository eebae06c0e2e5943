"""Heavy tails."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from scipy.special import digamma
from torch import Tensor

from ebm_bench.datasets.base import Vectors
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class StudentT(Vectors):
    """Independent coordinates with Student's t distribution.

    With ν degrees of freedom the density falls like ``|x|^−(ν+1)``: moments of order ν and
    above are infinite, so that the variance is from ν = 2 downwards.

    Parameters
    ----------
    dimension : int
        Number of coordinates.
    freedom : float
        ν, degrees of freedom.
    """

    dimension: Annotated[int, Ge(1)] = 5
    freedom: Annotated[float, Ge(1)] = 5.0

    knows = ("log_prob", "score", "entropy", "parameters")
    citation = "Student 1908, The probable error of a mean, doi:10.1093/biomet/6.1.1"

    @property
    def parameters(self) -> dict[str, Tensor]:
        """True parameters: ``location`` and ``scale``, in float64, shape (d,)."""
        zero = torch.zeros(self.dimension, dtype=torch.float64)
        return {"location": zero, "scale": zero + 1}

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Bounds of each coordinate, outside which lies about 1e-6 of the mass."""
        reach = math.sqrt(self.freedom * (1e-6 ** (-2 / self.freedom) - 1))
        return ((-reach, reach),) * self.dimension

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d), by Bailey's polar method (1994)."""
        # The logarithm of a number in (0, 1].
        log_u = torch.log1p(-streams.uniform(n, self.dimension))
        angle = 2 * math.pi * streams.uniform(n, self.dimension)
        return (self.freedom * torch.expm1(-2 / self.freedom * log_u)).sqrt() * angle.cos()

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        terms = 0.5 * (self.freedom + 1) * (x.square() / self.freedom).log1p()
        return -terms.sum(-1) - self.dimension * self._constant

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        return -(self.freedom + 1) * x / (self.freedom + x.square())

    def entropy(self) -> float:
        """Differential entropy in nats."""
        half = (self.freedom + 1) / 2
        one = half * float(digamma(half) - digamma(self.freedom / 2)) + self._constant
        return self.dimension * one

    @property
    def _constant(self) -> float:
        """Log-normaliser of one coordinate."""
        ratio = math.lgamma(self.freedom / 2) - math.lgamma((self.freedom + 1) / 2)
        return ratio + 0.5 * math.log(self.freedom * math.pi)
