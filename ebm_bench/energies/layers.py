"""Layers that carry the replicate axis, and the networks made of them.

A layer is affine or elementwise. That is all that `ebm_bench.derivatives` needs to know to
differentiate a network with plain tensor operations: affine layers give the linear part of
their map and its adjoint, elementwise layers the first two derivatives of their function.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.streams import Streams


class Convolution(nn.Module):
    """3×3 convolution of stride 2 with one padding pixel, one per replicate.

    Maps (R, N, C_in, H, W) to (R, N, C_out, ⌈H/2⌉, ⌈W/2⌉).
    """

    elementwise = False
    kernel, stride, padding = 3, 2, 1

    def __init__(self, in_shape: Sequence[int], channels: int, streams: Streams):
        super().__init__()
        c, self.height, self.width = in_shape
        fan_in = c * self.kernel**2
        shape = (channels, c, self.kernel, self.kernel)
        self.weight = nn.Parameter(streams.normal(*shape) / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(streams.replicates, channels, device=streams.device))
        self.out_shape = (channels, (self.height + 1) // 2, (self.width + 1) // 2)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return self._grouped(F.conv2d, h, self.bias.flatten(), padding=self.padding)

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return self._grouped(F.conv2d, t, None, padding=self.padding)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of its linear part."""
        # A stride of 2 maps two input sizes to one output size; the extra pixel tells which.
        extra = ((self.height + 1) % 2, (self.width + 1) % 2)
        return self._grouped(
            F.conv_transpose2d, g, None, padding=self.padding, output_padding=extra
        )

    def _grouped(self, operation, h: Tensor, bias: Tensor | None, **options) -> Tensor:
        replicates, n = h.shape[:2]
        stacked = h.transpose(0, 1).reshape(n, -1, *h.shape[3:])
        weight = self.weight.flatten(0, 1)
        out = operation(stacked, weight, bias, stride=self.stride, groups=replicates, **options)
        return out.view(n, replicates, -1, *out.shape[2:]).transpose(0, 1)


class Flatten(nn.Module):
    """Turn points of any shape into vectors: (R, N, *shape) to (R, N, n)."""

    elementwise = False

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return h.flatten(2)

    linear = forward

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose, which is the inverse."""
        return g.unflatten(2, self.shape)


class Activation(nn.Module):
    """An elementwise function with its first two derivatives."""

    elementwise = True

    def __init__(self, function: str):
        super().__init__()
        self.function = function
        self.smooth = function in _SLOPES

    def forward(self, a: Tensor) -> Tensor:
        """Apply the function."""
        return getattr(F, self.function)(a)

    def slopes(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative at ``a``, each of its shape."""
        return _SLOPES[self.function](a)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(a)
    bell = s * (1 - s)
    return s + a * bell, bell * (2 + a * (1 - 2 * s))


def _softplus(a: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(a)
    return s, s * (1 - s)


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tanh(a)
    first = 1 - t * t
    return first, -2 * t * first


def _gelu(a: Tensor) -> tuple[Tensor, Tensor]:
    cdf = 0.5 * (1 + torch.erf(a / math.sqrt(2)))
    pdf = torch.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
    return cdf + a * pdf, pdf * (2 - a * a)


_SLOPES = {"silu": _silu, "softplus": _softplus, "tanh": _tanh, "gelu": _gelu}


class Network(Energy):
    """A network on top of a Gaussian base measure that is fitted to the data.

    ``E(x) = f(u) + ½‖u‖²`` with ``u = (x − m)/s``: as long as ``f`` grows more slowly than
    a square, ``exp(−E)`` has a finite integral.

    Attributes
    ----------
    layers : torch.nn.ModuleList
        Affine and elementwise layers from (R, B, *event_shape) to (R, B, 1).
    """

    @property
    def smooth(self) -> bool:
        """Whether every activation is twice differentiable."""
        return all(layer.smooth for layer in self.layers if layer.elementwise)

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        u = (x - self.location) / self.scale
        h = u
        for layer in self.layers:
            h = layer(h)
        return h.squeeze(2) + 0.5 * u.flatten(2).square().sum(2)

    def directions(self) -> Tensor:
        """Directions whose curvatures under ``f`` add up to its Laplacian.

        Returns
        -------
        Tensor of shape (R, K, 1, *event_shape)
            All unit vectors, unless the architecture allows fewer.
        """
        size = math.prod(self.event_shape)
        unit = torch.eye(size, dtype=self.scale.dtype, device=self.scale.device)
        return unit.view(1, size, 1, *self.event_shape).expand(
            self.replicates, size, 1, *self.event_shape
        )
