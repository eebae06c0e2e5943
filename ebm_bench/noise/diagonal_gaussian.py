"""Gaussian noise with independent dimensions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.nn.flow import standard_normal_log_prob, standardisation
from ebm_bench.noise.base import Noise
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class DiagonalGaussian(Noise):
    """Gaussian with the mean and the variance of each dimension of the data."""

    def build(self) -> None:
        """Start at the standard normal density."""
        shape = (self.replicates, 1, *self.event_shape)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Take the moments of the data, (R, N, *event_shape)."""
        self.mean, self.scale = standardisation(data)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        z = streams.normal(n, *self.event_shape, dtype=self.mean.dtype)
        return self.mean + self.scale * z

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        scale = self.scale.to(x.dtype)
        z = ((x - self.mean) / scale).flatten(2)
        return standard_normal_log_prob(z) - scale.log().flatten(2).sum(2)
