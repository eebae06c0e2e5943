"""A noise of your own: a density that can be sampled and is fitted to the data."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebm_bench.noise.base import Noise
from ebm_bench.registry import register
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True, repr=False)
class MyOwn(Noise):
    """Independent logistic coordinates: like a Gaussian, with heavier tails.

    Parameters
    ----------
    spread : float
        Its standard deviations, in those of the data.
    """

    # Settings: an annotation, which is checked, and a literal default.
    spread: Annotated[float, Gt(0)] = 1.0

    def build(self) -> None:
        """Create buffers in their final shapes, so that a checkpoint holds them."""
        shape = (self.replicates, 1, *self.event_shape)
        self.location: Tensor
        self.scale: Tensor
        self.register_buffer("location", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Match mean and standard deviation of the data, (R, N, *event_shape)."""
        scale, location = torch.std_mean(data, dim=1, keepdim=True, correction=0)
        self.location.copy_(location)
        # A logistic distribution of scale 1 has the standard deviation π / √3.
        self.scale.copy_(self.spread * scale.clamp_min(1e-6) * math.sqrt(3) / math.pi)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        u = streams.uniform(n, *self.event_shape, dtype=self.scale.dtype)
        return self.location + self.scale * torch.logit(u, eps=1e-7)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        u = (x - self.location) / self.scale
        # exp(−u) / (1 + exp(−u))² of each coordinate, over its scale.
        each = logsigmoid(u) + logsigmoid(-u) - self.scale.log()
        return each.flatten(2).sum(2)
