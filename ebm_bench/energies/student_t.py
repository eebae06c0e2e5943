"""Energy with heavy tails."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class StudentT(Energy):
    """Independent Student t: ``E(x) = ½(ν + 1) Σᵢ log(1 + ((xᵢ − mᵢ)/sᵢ)²/ν)``.

    Locations ``m`` and scales ``s``, as ``log s``, are trained; ν is not. They start at fixed
    values, as moments of heavy-tailed data say little.

    Parameters
    ----------
    freedom : float
        ν, the degrees of freedom.
    start_location, start_scale : float
        Where training starts.
    """

    normalised = True

    freedom: Annotated[float, Gt(0)] = 5.0
    start_location: float = 0.0
    start_scale: Annotated[float, Gt(0)] = 1.0

    def build(self, streams: Streams) -> None:
        """Start at the given location and scale."""
        start = torch.ones(self.replicates, 1, *self.event_shape)
        self.m = nn.Parameter(self.start_location * start)
        self.log_s = nn.Parameter(math.log(self.start_scale) * start)

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,)."""
        size = math.prod(self.event_shape)
        ratio = math.lgamma(self.freedom / 2) - math.lgamma((self.freedom + 1) / 2)
        one = ratio + 0.5 * math.log(self.freedom * math.pi)
        return self.log_s.flatten(1).sum(1) + size * one

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        z = (x - self.m) * (-self.log_s).exp()
        terms = (z.square() / self.freedom).log1p().flatten(2).sum(2)
        return 0.5 * (self.freedom + 1) * terms
