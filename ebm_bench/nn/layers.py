"""Layers with a replicate axis: one set of weights per replicate."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm_bench.derivatives.base import Affine, Elementwise, Windowed
from ebm_bench.streams import Streams


class Dense(Affine):
    """Affine map of vectors, one per replicate: (R, N, n_in) to (R, N, n_out).

    Parameters
    ----------
    n_in, n_out : int
        Length of the vectors.
    streams : Streams
        Source of the initial weights.
    gain : float
        Standard deviation of an output for standard normal input.
    spread : float
        Standard deviation of the initial biases.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self, n_in: int, n_out: int, streams: Streams, gain: float = 1.0, spread: float = 0.0
    ):
        super().__init__()
        self.weight = nn.Parameter(streams.normal(n_in, n_out) * gain / math.sqrt(n_in))
        self.bias = nn.Parameter(streams.normal(1, n_out) * spread)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return (
            self.bias + self.linear(h) if self._fuses else torch.baddbmm(self.bias, h, self.weight)
        )

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return (t * self.weight.mT).sum(2, True) if self._fuses else torch.bmm(t, self.weight)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of its linear part."""
        return g * self.weight.mT if self.weight.shape[2] == 1 else torch.bmm(g, self.weight.mT)

    @property
    def _fuses(self) -> bool:
        """Whether to do without a matrix product, which a single output does not fill.

        Not in eager training, where differentiating it would take a pass for each operation.
        """
        alone = torch.compiler.is_compiling() or not torch.is_grad_enabled()
        return alone and self.weight.shape[2] == 1

    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, linear(t)⟩`` by the weight."""
        return torch.bmm(t.mT, g)

    def bias_gradient(self, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, forward(h)⟩`` by the bias."""
        return g.sum(1, keepdim=True)

    def modulated(self, t: Tensor, s: Tensor, skip: int = 0) -> tuple[Tensor, Tensor]:
        """Apply the linear part to directions that are scaled at each point; see `Affine`."""
        t, s, weight = t[..., skip:], s[..., skip:], self.weight[:, skip:]
        if self._folds(t, s):
            product = (weight.unsqueeze(2) * t.permute(0, 3, 1, 2)).flatten(2)
            return torch.bmm(s, product).unflatten(2, (t.shape[1], -1)).transpose(1, 2), product
        product = (t * s.unsqueeze(1)).flatten(1, 2)
        return torch.bmm(product, weight).unflatten(1, (t.shape[1], -1)), product

    def modulated_gradient(
        self, t: Tensor, s: Tensor, product: Tensor, g: Tensor, skip: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Differentiate ``⟨g, modulated(t, s)⟩``; see `Affine`."""
        fill = torch.zeros_like if skip else torch.empty_like
        for_weight, for_s = fill(self.weight), fill(s)
        of_weight, of_s = for_weight[:, skip:], for_s[..., skip:]
        if self._folds(t, s):
            flat = g.transpose(1, 2).flatten(2)
            torch.baddbmm(of_s, flat, product.mT, beta=0, out=of_s)
            moment = torch.bmm(s.mT, flat).unflatten(2, (t.shape[1], -1))  # (R, n_in, K, n_out)
            torch.sum(moment[:, skip:] * t.permute(0, 3, 1, 2)[:, skip:], 2, out=of_weight)
            for_t = moment.mul_(self.weight.unsqueeze(2)).sum(3).mT.unsqueeze(2)
            return for_weight, for_t, for_s
        flat = g.flatten(1, 2)
        torch.baddbmm(of_weight, product.mT, flat, beta=0, out=of_weight)
        back = self.adjoint(flat).unflatten(1, g.shape[1:3])
        parts = zip(back[..., skip:].unbind(1), t[..., skip:].unbind(1), strict=True)
        torch.mul(*next(parts), out=of_s)
        for one, direction in parts:
            of_s.addcmul_(one, direction)
        for_t = back.mul_(s.unsqueeze(1))
        return for_weight, for_t.sum(2, keepdim=True) if t.shape[2] < g.shape[2] else for_t, for_s

    def _folds(self, t: Tensor, s: Tensor) -> bool:
        """Whether to multiply the weights by the directions: cheaper for many points."""
        return t.shape[2] == 1 and 2 * self.weight.shape[2] <= s.shape[1]


class Convolution(Windowed):
    """3×3 convolution of stride 2 with one padding pixel, one per replicate.

    Maps (R, N, C_in, H, W) to (R, N, C_out, ⌈H/2⌉, ⌈W/2⌉).
    """

    weight: nn.Parameter
    bias: nn.Parameter
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
        return self._convolve(h, self.bias.flatten())

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return self._convolve(t, None)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of its linear part."""
        replicates, n = g.shape[:2]
        channels = replicates * self.weight.shape[2]
        # Of the input only the shape counts. `conv_transpose2d` is up to three times slower.
        size = (n, channels, self.height, self.width)
        last = torch.channels_last
        h = torch.empty(size, dtype=g.dtype, device=g.device, memory_format=last)
        return self._split(self._backward(g, h, 0), replicates)

    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, linear(t)⟩`` by the weight."""
        # `torch.nn.grad.conv2d_weight` passes a placeholder as the weight, which is slower.
        return self._backward(g, _stacked(t), 1).view_as(self.weight)

    def _backward(self, g: Tensor, stacked: Tensor, by: int) -> Tensor:
        """Differentiate by the input or by the weight."""
        return torch.ops.aten.convolution_backward(
            _stacked(g),
            stacked,
            self.weight.flatten(0, 1),
            None,
            [self.stride] * 2,
            [self.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            g.shape[0],
            [by == 0, by == 1, False],
        )[by]

    def bias_gradient(self, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, forward(h)⟩`` by the bias."""
        return g.sum((1, 3, 4))

    def _convolve(self, h: Tensor, bias: Tensor | None) -> Tensor:
        weight, replicates = self.weight.flatten(0, 1), h.shape[0]
        out = F.conv2d(_stacked(h), weight, bias, self.stride, self.padding, groups=replicates)
        return self._split(out, replicates)

    def _split(self, out: Tensor, replicates: int) -> Tensor:
        """Undo `_stacked`."""
        return out.unflatten(1, (replicates, -1)).transpose(0, 1)


def _stacked(h: Tensor) -> Tensor:
    """Put the replicates beside each other as channels: (R, N, C, H, W) to (N, R·C, H, W).

    With the channels last in memory, in which grouped convolutions of CPUs are fastest.
    """
    return h.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


class Flatten(Affine):
    """Flatten points of any shape into vectors: (R, N, *shape) to (R, N, n)."""

    weight = bias = None

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return h.flatten(2)

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return t.flatten(2)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose, which is the inverse."""
        return g.unflatten(2, self.shape)

    def weight_gradient(self, t: Tensor, g: Tensor) -> None:
        """Return nothing, as there is no weight."""


def silu(a: Tensor) -> Tensor:
    """Compute ``a σ(a)``.

    Compiled, that of `torch.nn.functional` needs a second exponential for its derivative, whose
    form is not that of its value.
    """
    return a * torch.sigmoid(a) if torch.compiler.is_compiling() else F.silu(a)


class Activation(Elementwise):
    """A nonlinearity of `torch.nn.functional`, by its name."""

    def __init__(self, function: str):
        super().__init__()
        self.function = function
        self.smooth = function in _DERIVATIVES

    def forward(self, a: Tensor) -> Tensor:
        """Apply the function."""
        return silu(a) if self.function == "silu" else getattr(F, self.function)(a)

    def derivatives(self, a: Tensor, order: int) -> tuple[Tensor, ...]:
        """Value and the derivatives up to an order of 1 to 3 at ``a``, each of its shape."""
        return _DERIVATIVES[self.function](a, order)

    def slope_(self, a: Tensor) -> tuple[Tensor, ...]:
        """Value and first derivative at ``a``, which is overwritten by the value of silu."""
        if self.function != "silu":
            return super().slope_(a)
        s = torch.sigmoid(a)
        value = a.mul_(s)
        return value, s.lerp_(s.new_ones(()), value)  # s + value (1 − s)


def _silu(a: Tensor, order: int) -> tuple[Tensor, ...]:
    s = torch.sigmoid(a)
    bell = torch.addcmul(s, s, s, value=-1)
    value, first = a * s, torch.addcmul(s, a, bell)
    if order == 1:
        return value, first
    tilt = torch.rsub(s, 1, alpha=2)
    if order == 2:
        return value, first, tilt.mul_(a).add_(2).mul_(bell)
    second = (a * tilt).add_(2).mul_(bell)
    third = tilt.mul_(3).addcmul_(a, torch.rsub(bell, 1, alpha=6)).mul_(bell)
    return value, first, second, third


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


_DERIVATIVES: dict[str, Callable[[Tensor, int], tuple[Tensor, ...]]] = {
    "silu": _silu,
    "softplus": _softplus,
    "tanh": _tanh,
    "gelu": _gelu,
}
