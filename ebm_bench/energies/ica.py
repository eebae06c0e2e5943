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

_ROUNDING = 0.01
_AT_ROUNDING = torch.tensor(math.sqrt(2) * _ROUNDING, dtype=torch.float64)
# Of exp(−h) over one source.
_INTEGRALS = {
    "laplace": math.sqrt(2),
    "hyperbolic": 2 * _ROUNDING * torch.special.modified_bessel_k1(_AT_ROUNDING).item(),
    "logistic": 4 * math.sqrt(3) / math.pi,
}


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Ica(Energy):
    """Linear independent components of unit variance: ``E(x) = Σᵢ h((W x)ᵢ)``.

    Parameters
    ----------
    source : str
        Density of the sources: ``laplace``, ``h(s) = √2 |s|``, which has no second derivative
        at 0; ``hyperbolic``, ``h(s) = √2 √(s² + δ²)`` with δ = 0.01, the same with a rounded kink,
        for optimisers that need a gradient; or ``logistic``, ``h(s) = 2 log cosh(π s / (2√3))``,
        which is smooth.

    References
    ----------
    Gutmann and Hyvärinen, "Noise-contrastive estimation of unnormalized statistical models,
    with applications to natural image statistics", JMLR 2012,
    https://jmlr.org/papers/v13/gutmann12a.html.
    """

    rough = {"source": ("laplace",)}  # noqa: RUF012
    normalised = True

    source: Literal["laplace", "hyperbolic", "logistic"] = "laplace"

    def build(self, streams: Streams) -> None:
        """Start near the identity."""
        size = math.prod(self.event_shape)
        start = torch.eye(size) + 0.1 * streams.normal(size, size)
        self.unmixing = nn.Parameter(start)

    @property
    def estimate(self) -> dict[str, Tensor]:
        """The matrix ``unmixing``, shape (R, d, d)."""
        return {"unmixing": self.unmixing}

    @torch.no_grad()
    def assume(self, parameters: dict[str, Tensor]) -> None:
        """Take on an unmixing matrix."""
        self.unmixing.copy_(parameters["unmixing"])

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,)."""
        one = _INTEGRALS[self.source]
        size = self.unmixing.shape[1]
        return size * math.log(one) - torch.linalg.slogdet(self.unmixing).logabsdet

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        s = torch.bmm(x.flatten(2), self.unmixing.mT)
        if self.source == "laplace":
            return math.sqrt(2) * s.abs().sum(2)
        if self.source == "hyperbolic":
            return math.sqrt(2) * (s.square() + _ROUNDING**2).sqrt().sum(2)
        # log cosh t = |t| + log(1 + exp(−2|t|)) − log 2, written smoothly for the derivatives.
        t = s * (math.pi / (2 * math.sqrt(3)))
        return 2 * (softplus(2 * t) - t - math.log(2)).sum(2)
