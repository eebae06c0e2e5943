"""Gaussians bent by maps whose Jacobian is known."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.datasets.planar import Planar
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Pinwheel(Planar):
    """Five bent blades: Gaussians at radius 2, turned further the farther out they reach.

    A point z of a blade is Gaussian around (1, 0) with sd 0.3 along the radius and 0.1
    across; it is turned by the blade's angle plus 0.3 |z|² and doubled. Turning by an angle
    that depends on |z| alone keeps areas, so the density is an exact sum over the blades
    (the usual definition turns by the exponential of the first coordinate, which does not).
    """

    citation = (
        "Johnson et al. 2016, Composing graphical models with neural networks, arXiv:1603.06277"
    )
    box = ((-5.2, 5.2), (-5.2, 5.2))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        z = streams.normal(n, 2)
        z = z * z.new_tensor([0.3, 0.1]) + z.new_tensor([1.0, 0.0])
        blade = streams.integers(5, n).to(z)
        return 2 * _turn(z, blade * (2 * math.pi / 5) + 0.3 * z.square().sum(-1))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...)."""
        z = (x / 2).unsqueeze(-2)
        blade = torch.arange(5, device=x.device).to(x)
        z = _turn(z, -blade * (2 * math.pi / 5) - 0.3 * z.square().sum(-1))
        log_p = _log_normal((z[..., 0] - 1) / 0.3) + _log_normal(z[..., 1] / 0.1)
        # Each blade: weight 1/5, standard deviations 0.3 and 0.1, and areas times 4.
        return torch.logsumexp(log_p, -1) - math.log(5 * 0.3 * 0.1 * 4)


@register
@dataclass(eq=False, kw_only=True)
class Banana(Planar):
    """A Gaussian bent into a parabola.

    The first coordinate is Gaussian with sd 1.2; the second, given the first, is Gaussian
    with sd 0.4 around ``0.25 (x₁² − 1.44)``.
    """

    citation = (
        "Haario et al. 1999, Adaptive proposal distribution for random walk Metropolis, "
        "doi:10.1007/s001800050022"
    )
    box = ((-6.0, 6.0), (-2.6, 9.4))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        z = streams.normal(n, 2)
        first = 1.2 * z[..., 0]
        return torch.stack([first, 0.25 * (first**2 - 1.44) + 0.4 * z[..., 1]], -1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...)."""
        first, second = x.unbind(-1)
        residual = second - 0.25 * (first**2 - 1.44)
        log_p = _log_normal(first / 1.2) + _log_normal(residual / 0.4)
        return log_p - math.log(1.2 * 0.4)

    def entropy(self) -> float:
        """Differential entropy in nats: that of the Gaussian, for bending keeps areas."""
        return math.log(2 * math.pi * math.e * 1.2 * 0.4)


@register
@dataclass(eq=False, kw_only=True)
class Funnel(Planar):
    """A Gaussian whose width is another Gaussian's exponential.

    The first coordinate v is standard normal; the second, given v, is Gaussian around 0 with
    variance ``exp(v)``. Neal's sd of 3 for v is too wide for any grid.
    """

    citation = "Neal 2003, Slice sampling, doi:10.1214/aos/1056562461"
    box = ((-5.0, 5.0), (-22.0, 22.0))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        v, z = streams.normal(n, 2).unbind(-1)
        return torch.stack([v, (v / 2).exp() * z], -1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...)."""
        v, second = x.unbind(-1)
        return _log_normal(v) + _log_normal(second * (-v / 2).exp()) - v / 2

    def entropy(self) -> float:
        """Differential entropy in nats: two Gaussians', for v is 0 on average."""
        return math.log(2 * math.pi * math.e)


def _log_normal(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + math.log(2 * math.pi))


def _turn(z: Tensor, angle: Tensor) -> Tensor:
    """Rotate points (..., 2) by angles (...)."""
    a, b = z.unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1)
