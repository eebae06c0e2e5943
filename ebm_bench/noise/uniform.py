"""Uniform noise."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.errors import InputError
from ebm_bench.noise.base import Noise
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Uniform(Noise):
    """Uniform density on a box around the data.

    Parameters
    ----------
    margin : float
        Distance from the data to the box on either side, as a fraction of their range.
    """

    margin: Annotated[float, Ge(0)] = 0.1

    def build(self) -> None:
        """Start at the unit box."""
        shape = (self.replicates, 1, *self.event_shape)
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("width", torch.ones(shape))

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Put the box around the data, (R, N, *event_shape).

        Raises
        ------
        InputError
            Where the data are constant in a dimension, so that the box has no volume.
        """
        low, high = data.amin(1, keepdim=True), data.amax(1, keepdim=True)
        if (low == high).any():
            raise InputError(
                "uniform noise needs data that vary in every dimension; choose another noise, "
                "such as diagonal_gaussian, or dequantise the data"
            )
        extra = self.margin * (high - low)
        self.low, self.width = low - extra, high - low + 2 * extra

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        return self.low + self.width * streams.uniform(n, *self.event_shape, dtype=self.low.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B); −∞ outside."""
        inside = ((x >= self.low) & (x <= self.low + self.width)).flatten(2).all(2)
        log_volume = self.width.to(x.dtype).log().flatten(2).sum(2)
        return torch.where(inside, -log_volume, -math.inf)
