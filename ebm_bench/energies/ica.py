"""Energy of independent component analysis."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebm_bench.energies.base import Energy
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Ica(Energy):
    """Linear independent components of unit variance: ``E(x) = Σᵢ h((W x)ᵢ)``.

    The model of Gutmann and Hyvärinen (2012), with the sources' density as a setting.

    Parameters
    ----------
    source : str
        ``laplace``, ``h(s) = √2 |s|``, which has no second derivative at 0; or ``logistic``,
        ``h(s) = 2 log cosh(π s / (2√3))``, which is smooth.
    """

    rough = {"source": ("laplace",)}  # noqa: RUF012
    normalised = True

    source: Literal["laplace", "logistic"] = "laplace"

    def build(self, streams: Streams) -> None:
        """Start near the identity."""
        size = math.prod(self.event_shape)
        start = torch.eye(size) + 0.1 * streams.normal(size, size)
        self.unmixing = nn.Parameter(start)

    @property
    def smooth(self) -> bool:
        """Whether the sources' energy has a second derivative."""
        return self.source == "logistic"

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,)."""
        one = {"laplace": math.sqrt(2), "logistic": 4 * math.sqrt(3) / math.pi}[self.source]
        size = self.unmixing.shape[1]
        return size * math.log(one) - torch.linalg.slogdet(self.unmixing).logabsdet

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        s = torch.bmm(x.flatten(2), self.unmixing.mT)
        if self.source == "laplace":
            return math.sqrt(2) * s.abs().sum(2)
        # log cosh t = |t| + log(1 + exp(−2|t|)) − log 2, written smoothly for the derivatives.
        t = s * (math.pi / (2 * math.sqrt(3)))
        return 2 * (softplus(2 * t) - t - math.log(2)).sum(2)
