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
from ebm_bench.modules import Affine
from ebm_bench.streams import Streams

_FEW_CHANNELS = 8  # below, torch's transposed convolution is slower than a matrix product


class Convolution(Affine):
    """3×3 convolution of stride 2 with one padding pixel, one per replicate.

    Maps (R, N, C_in, H, W) to (R, N, C_out, ⌈H/2⌉, ⌈W/2⌉).
    """

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
        if self.weight.shape[2] < _FEW_CHANNELS:
            columns = self.weight.flatten(2).mT.unsqueeze(1) @ g.flatten(3)
            size, options = (self.height, self.width), {"padding": self.padding}
            out = F.fold(columns.flatten(0, 1), size, self.kernel, stride=self.stride, **options)
            return out.unflatten(0, g.shape[:2])
        # A stride of 2 maps two input sizes to one output size; the extra pixel tells which.
        extra = ((self.height + 1) % 2, (self.width + 1) % 2)
        return self._grouped(
            F.conv_transpose2d, g, None, padding=self.padding, output_padding=extra
        )

    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, linear(t)⟩`` by the weight."""
        weight = self.weight.flatten(0, 1)
        found = torch.ops.aten.convolution_backward(
            _stacked(g),
            _stacked(t),
            weight,
            None,
            [self.stride] * 2,
            [self.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            t.shape[0],
            [False, True, False],
        )[1]
        return found.view_as(self.weight)

    def bias_gradient(self, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, forward(h)⟩`` by the bias."""
        return g.sum((1, 3, 4))

    def _grouped(self, operation, h: Tensor, bias: Tensor | None, **options) -> Tensor:
        replicates, n = h.shape[:2]
        weight = self.weight.flatten(0, 1)
        out = operation(_stacked(h), weight, bias, stride=self.stride, groups=replicates, **options)
        return out.view(n, replicates, -1, *out.shape[2:]).transpose(0, 1)


def _stacked(h: Tensor) -> Tensor:
    """Put the replicates beside each other as channels: (R, N, C, H, W) to (N, R·C, H, W)."""
    return h.transpose(0, 1).flatten(1, 2)


class Flatten(Affine):
    """Turn points of any shape into vectors: (R, N, *shape) to (R, N, n)."""

    weight = bias = None

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

    def weight_gradient(self, t: Tensor, g: Tensor) -> None:
        """There is no weight."""


class Activation(nn.Module):
    """An elementwise function with its first three derivatives."""

    elementwise = True

    def __init__(self, function: str):
        super().__init__()
        self.function = function
        self.smooth = function in _DERIVATIVES

    def forward(self, a: Tensor) -> Tensor:
        """Apply the function."""
        return getattr(F, self.function)(a)

    def derivatives(self, a: Tensor, order: int) -> tuple[Tensor, ...]:
        """Value and the derivatives up to an order of 1 to 3 at ``a``, each of its shape."""
        return _DERIVATIVES[self.function](a, order)

    def pull_back(self, g: Tensor, a: Tensor) -> Tensor:
        """Multiply ``g`` by the first derivative of a smooth function at ``a``, in one pass."""
        return _PULL_BACKS[self.function](g, a)


def _silu(a: Tensor, order: int) -> tuple[Tensor, ...]:
    s = torch.sigmoid(a)
    bell = torch.addcmul(s, s, s, value=-1)
    value, first = a * s, torch.addcmul(s, a, bell)
    if order == 1:
        return value, first
    tilt = torch.rsub(s, 1, alpha=2)
    second = (a * tilt).add_(2).mul_(bell)
    if order == 2:
        return value, first, second
    return value, first, second, (bell * -6).add_(1).mul_(a).add_(tilt, alpha=3).mul_(bell)


def _softplus(a: Tensor, order: int) -> tuple[Tensor, ...]:
    s = torch.sigmoid(a)
    bell = torch.addcmul(s, s, s, value=-1)
    return (F.softplus(a), s, bell, torch.rsub(s, 1, alpha=2).mul_(bell))[: order + 1]


def _tanh(a: Tensor, order: int) -> tuple[Tensor, ...]:
    t = torch.tanh(a)
    first = 1 - t * t
    return (t, first, -2 * t * first, (6 * t * t - 2) * first)[: order + 1]


def _gelu(a: Tensor, order: int) -> tuple[Tensor, ...]:
    cdf = 0.5 * (1 + torch.erf(a / math.sqrt(2)))
    pdf = torch.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
    all_orders = (a * cdf, cdf + a * pdf, pdf * (2 - a * a), pdf * a * (a * a - 4))
    return all_orders[: order + 1]


_DERIVATIVES = {"silu": _silu, "softplus": _softplus, "tanh": _tanh, "gelu": _gelu}

_aten = torch.ops.aten
_PULL_BACKS = {
    "silu": _aten.silu_backward,
    "softplus": lambda g, a: _aten.softplus_backward(g, a, 1, 20),
    "tanh": lambda g, a: _aten.tanh_backward(g, a.tanh()),
    "gelu": _aten.gelu_backward,
}


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

    def directions(self) -> tuple[Tensor, bool]:
        """Directions whose curvatures under ``f`` add up to its Laplacian.

        Returns
        -------
        directions : Tensor of shape (R, K, 1, *event_shape)
            All unit vectors, unless the architecture allows fewer.
        staircase : bool
            Whether the first layer maps direction ``k`` to a vector that starts with ``k`` zeros.
        """
        size = math.prod(self.event_shape)
        unit = torch.eye(size, dtype=self.scale.dtype, device=self.scale.device)
        unit = unit.view(1, size, 1, *self.event_shape)
        return unit.expand(self.replicates, size, 1, *self.event_shape), False
