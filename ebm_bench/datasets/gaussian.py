"""A Gaussian of any dimension."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.datasets.base import Vectors
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Gaussian(Vectors):
    """A Gaussian with a chosen condition number, rotated at random.

    Parameters
    ----------
    dimension : int
        Number of coordinates.
    condition_number : float
        Largest over smallest variance along the principal axes; the variances are spaced
        evenly in logarithm and their geometric mean is 1.
    seed : int
        Seed of the rotation.
    mean : float
        First coordinate of the mean; the others are 0.
    """

    dimension: Annotated[int, Ge(1)] = 5
    condition_number: Annotated[float, Ge(1)] = 10.0
    seed: Annotated[int, Ge(0)] = 0
    mean: float = 0.0

    knows = ("log_prob", "score", "entropy", "parameters")
    citation = "Ceylan and Gutmann 2018, Conditional noise-contrastive estimation, arXiv:1806.03664"

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """Principal axes as columns, (d, d), and the standard deviations along them, (d,)."""
        draws = Streams(self.seed, scope=("gaussian",)).normal(
            self.dimension, self.dimension, dtype=torch.float64
        )
        spacing = torch.linspace(1, -1, self.dimension, dtype=torch.float64)
        log_sd = math.log(self.condition_number) / 4 * (spacing - spacing.mean())
        return torch.linalg.qr(draws[0]).Q, log_sd.exp()

    @property
    def covariance(self) -> Tensor:
        """Covariance in float64, shape (d, d)."""
        axes, sd = self._axes
        return axes * sd**2 @ axes.T

    @property
    def parameters(self) -> dict[str, Tensor]:
        """True parameters: ``precision``, in float64, shape (d, d)."""
        axes, sd = self._axes
        return {"precision": axes / sd**2 @ axes.T}

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Bounds of each coordinate, five standard deviations to either side of the mean."""
        spread = 5 * self.covariance.diagonal().sqrt()
        return tuple(
            zip((self._mean - spread).tolist(), (self._mean + spread).tolist(), strict=True)
        )

    @property
    def _mean(self) -> Tensor:
        """Mean in float64, shape (d,)."""
        mean = torch.zeros(self.dimension, dtype=torch.float64)
        mean[0] = self.mean
        return mean

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d)."""
        z = streams.normal(n, self.dimension)
        axes, sd = (part.to(z) for part in self._axes)
        return z * sd @ axes.T + self._mean.to(z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        axes, sd = (part.to(x) for part in self._axes)
        z = (x - self._mean.to(x)) @ axes / sd
        return -0.5 * z.square().sum(-1) - 0.5 * self.dimension * math.log(2 * math.pi)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        return (self._mean.to(x) - x) @ self.parameters["precision"].to(x)

    def entropy(self) -> float:
        """Differential entropy in nats; the determinant of the covariance is 1."""
        return 0.5 * self.dimension * math.log(2 * math.pi * math.e)
