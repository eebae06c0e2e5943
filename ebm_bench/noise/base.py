"""The contract of a noise distribution."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.nn.flow import standard_normal_log_prob
from ebm_bench.nn.module import Component
from ebm_bench.streams import Streams


def triangular_log_prob(centred: Tensor, factor: Tensor) -> Tensor:
    """Log-density in nats of N(0, L Lᵀ) at vectors (R, B, d), shape (R, B).

    Parameters
    ----------
    centred : Tensor of shape (R, B, d)
        Vectors.
    factor : Tensor of shape (R, d, d)
        Lower triangular factor L of the covariance.
    """
    z = torch.linalg.solve_triangular(factor.mT, centred, upper=True, left=False)
    log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
    return standard_normal_log_prob(z) - log_det


@dataclass(eq=False, kw_only=True, repr=False)
class Noise(Component):
    """A distribution with a density that can be sampled, one per replicate.

    Parameters
    ----------
    event_shape : tuple of int
        Shape of one point.
    replicates : int
        Number of distributions side by side.
    """

    event_shape: tuple[int, ...]
    replicates: int = 1

    def __post_init__(self):
        self.event_shape = tuple(self.event_shape)
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Create parameters and buffers of their final shapes."""

    @abstractmethod
    def fit(self, data: Tensor, streams: Streams) -> None:
        """Fit each replicate's distribution to its own data, (R, N, *event_shape)."""

    @abstractmethod
    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw ``n`` points per replicate, shape (R, n, *event_shape)."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""

    def sample_with_log_prob(self, n: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """Draw ``n`` points per replicate and their log-density, (R, n, *event_shape), (R, n)."""
        x = self.sample(n, streams)
        return x, self.log_prob(x)
