"""The Gaussian of Liu et al. 2022: its mean is trained, from the noise on."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class MeanGaussian(Energy):
    """Gaussian of unit covariance, ``E(x) = ½‖x − m‖²``, whose mean starts at 0.

    References
    ----------
    Liu, Rosenfeld, Ravikumar and Risteski, "Analyzing and improving the optimization landscape of
    noise-contrastive estimation", ICLR 2022, arXiv:2110.11271.
    """

    normalised = True

    def build(self, streams: Streams) -> None:
        """Start at the standard normal density."""
        self.mean = nn.Parameter(torch.zeros(self.replicates, 1, *self.event_shape))

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,)."""
        size = math.prod(self.event_shape)
        return self.mean.new_full((self.replicates,), 0.5 * size * math.log(2 * math.pi))

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return 0.5 * (x - self.mean).flatten(2).square().sum(2)
