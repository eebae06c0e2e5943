"""Derivatives of networks of affine and elementwise layers, by plain tensor operations.

A sweep forward gives the inputs ``h`` of all layers, one backward the adjoints ``g`` of their
outputs, and a second one forward the tangents ``t`` of the inputs along directions ``v``. Then
``vᵀ ∇²f v = Σ g σ'' t²`` over the units of all elementwise layers. The derivative of both
sweeps with respect to the weights is written out, so that a loss made of them needs no
derivative of a derivative, and so that the memory for many directions does not grow with their
number: they pass in chunks, each of which leaves nothing but its share of the gradient.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ebm_bench.derivatives.base import Affine, Elementwise, Network, is_at_hand

log = logging.getLogger("ebm_bench")

# Numbers in the tangents of one chunk of directions: about what a cache holds.
CHUNK = 1 << 16


def supports(energy: object) -> TypeGuard[Network]:
    """Whether an energy is a network of affine and smooth elementwise layers.

    Elementwise layers stand between affine ones, and there is at least one.
    """
    layers = list(getattr(energy, "layers", ())) if hasattr(energy, "directions") else []
    kinds = [isinstance(layer, Elementwise) for layer in layers]
    if (
        any(kinds)
        and not (kinds[0] or kinds[-1])
        and not any(a and b for a, b in itertools.pairwise(kinds))
        and all(isinstance(n, Affine) or (isinstance(n, Elementwise) and n.smooth) for n in layers)
    ):
        return True
    log.debug("%s is differentiated automatically", type(energy).__name__)
    return False


@torch.no_grad()
def value_and_gradient(layers: Iterable[nn.Module], u: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate and differentiate a network without a graph, (R, B) and (R, B, *event_shape)."""
    h, steps = u, list[tuple[nn.Module, Tensor | None]]()
    own = False  # whether h is a tensor of these lines, and no view of the points
    for layer in layers:
        if isinstance(layer, Elementwise):
            h, slope = layer.slope_(h) if own else layer.derivatives(h, 1)
            steps.append((layer, slope))
        else:
            h, own = layer(h), layer.weight is not None
            steps.append((layer, None))
    g = h.new_ones(len(h), 1, 1)  # for all points, up to the last elementwise layer
    for layer, factor in reversed(steps):
        if factor is not None:
            g = factor.mul_(g)
        elif isinstance(layer, Affine):
            g = layer.adjoint(g)
    return h.squeeze(2), g


def gradient(layers: Iterable[nn.Module], u: Tensor) -> Tensor:
    """Differentiate a network once; see `curvature`."""
    if torch.compiler.is_compiling():
        return _Sweeps(list(layers), u, order=1).gradient
    return _apply(layers, u, None, False)[0]


def curvature(
    layers: Iterable[nn.Module], u: Tensor, t: Tensor, triangular: bool = False
) -> tuple[Tensor, Tensor]:
    """Differentiate a network once, and twice along directions.

    Parameters
    ----------
    layers : sequence of Affine and Elementwise
        From (R, B, *event_shape) to (R, B, 1); see `supports`.
    u : Tensor of shape (R, B, *event_shape)
        Points.
    t : Tensor of shape (R, K, B or 1, *event_shape)
        Directions of each point, or those that all points share. They are held constant.
    triangular : bool
        Whether the tangents of the first k units along direction k are zero.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
    curvature : Tensor of shape (R, B)
        Summed over the directions.
    """
    if torch.compiler.is_compiling():
        # The compiler differentiates plain operations better than it traces what is written out.
        sweeps = _Sweeps(list(layers), u, order=2)
        tangents = _Tangents(sweeps, t, triangular)
        tangents.sweep()
        return sweeps.gradient, tangents.curvature()
    return _apply(layers, u, t, triangular)


def _apply(layers: Iterable[nn.Module], u: Tensor, t: Tensor | None, triangular: bool) -> Any:
    weights = [w for layer in layers for w in _weights(layer)]
    return _Network.apply(u, t, triangular, list(layers), *weights)


def _weights(layer: nn.Module) -> tuple[nn.Parameter, ...]:
    if isinstance(layer, Affine) and layer.weight is not None and layer.bias is not None:
        return layer.weight, layer.bias
    return ()


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, t, triangular, layers, *weights):
        learns = any(ctx.needs_input_grad)
        ctx.sweeps = _Sweeps(layers, u, order=1 + (t is not None) + learns)
        # A graph that held its own result would stay until Python looks for such cycles.
        gradient = vars(ctx.sweeps).pop("gradient")
        ctx.tangents = ctx.ahead = None
        if t is None:
            return gradient, None
        ctx.tangents = _Tangents(ctx.sweeps, t, triangular)
        if len(ctx.tangents.chunks) > 1 and learns and is_at_hand(u):
            # Most losses are means over points: their gradient is known up to a factor, and is
            # formed now, while the tangents of each chunk are at hand.
            ctx.ahead = _Gradients()
            ctx.tangents.differentiate(ctx.ahead)
        else:
            ctx.tangents.sweep()
        return gradient, ctx.tangents.curvature()

    @staticmethod
    @once_differentiable
    def backward(ctx, of_gradient, of_curvature):
        sweeps, tangents, by_u = ctx.sweeps, ctx.tangents, ctx.needs_input_grad[0]
        if tangents is None:
            return _returned(sweeps, *sweeps.differentiate(of_gradient, {}, _Gradients(), by_u))
        factor = of_curvature[:, :1]
        alike = is_at_hand(factor) and torch.equal(of_curvature, factor.expand_as(of_curvature))
        if alike and factor.all():
            # The same for all points: taken out of everything and put back in the end.
            found, each = ctx.ahead, None
            of_gradient = of_gradient / _with_axes(factor, of_gradient)
        else:
            found, each, factor = None, of_curvature, None
        if found is None:
            found = _Gradients()
            tangents.differentiate(found, each)
        squares = tangents.squares
        if each is not None:
            squares = {i: value * _with_axes(each, value) for i, value in squares.items()}
        of_u, found = sweeps.differentiate(of_gradient, squares, found, by_u)
        return _returned(sweeps, of_u, found, factor)


def _returned(
    sweeps: "_Sweeps", of_u: Tensor | None, found: "_Gradients", factor: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """Order derivatives as the arguments of `_Network`, times the factor (R, 1)."""
    weights = [
        kind.get(i)
        for i, layer in enumerate(sweeps.layers)
        for kind, _ in zip((found.weight, found.bias), _weights(layer), strict=False)
    ]
    if factor is not None:
        of_u, *weights = (
            value if value is None else value * _with_axes(factor, value)
            for value in (of_u, *weights)
        )
    return of_u, None, None, None, *weights


def _with_axes(factor: Tensor, value: Tensor) -> Tensor:
    """Give factors of points, (R, B or 1), as many axes as a value has."""
    return factor.reshape(*factor.shape, *[1] * (value.dim() - 2))


@dataclass
class _Gradients:
    """Derivatives of a loss by weights, biases and first slopes, each by position of the layer."""

    weight: dict[int, Tensor] = field(default_factory=dict)
    bias: dict[int, Tensor] = field(default_factory=dict)
    first: dict[int, Tensor] = field(default_factory=dict)


def _add(to: dict[int, Tensor], i: int, value: Tensor | None) -> None:
    if value is not None:
        to[i] = to[i].add_(value) if i in to else value


class _Sweeps:
    """Inputs and adjoints of all layers; everything goes by the position of the layer."""

    def __init__(self, layers: list[nn.Module], u: Tensor, order: int):
        self.layers = layers
        self.affine = {i: layer for i, layer in enumerate(layers) if isinstance(layer, Affine)}
        self.h: list[Tensor] = []
        # First derivatives of the elementwise layers, and as many more as are asked for.
        self.slopes: dict[int, tuple[Tensor, ...]] = {}
        for i, layer in enumerate(layers):
            self.h.append(u)
            if isinstance(layer, Elementwise):
                u, *slopes = layer.derivatives(u, order)
                self.slopes[i] = tuple(slopes)
            elif i + 1 < len(layers):
                u = layer(u)
        self.start, self.last = min(self.slopes), max(self.slopes)
        self.g: list[Tensor] = []
        g = u.new_ones(*u.shape[:2], 1)
        for i in reversed(range(len(layers))):
            self.g.insert(0, g)
            g = g * self.slopes[i][0] if i in self.slopes else self.affine[i].adjoint(g)
        self.gradient = g

    def differentiate(
        self, p: Tensor, squares: dict[int, Tensor], tangents: _Gradients, by_u: bool
    ) -> tuple[Tensor | None, _Gradients]:
        """Differentiate through the adjoints and the inputs.

        Parameters
        ----------
        p : Tensor of shape (R, B, *event_shape)
            Derivative of the loss by the gradient.
        squares : dict of int to Tensor
            Of the tangents, times the derivative of the loss by the curvature.
        tangents : _Gradients
            What came through the tangents.
        by_u : bool
            Whether to differentiate by the points too.

        Returns
        -------
        of_u : Tensor of shape (R, B, *event_shape) or None
            Derivative of the loss by the points.
        into : _Gradients
            By all weights and biases.
        """
        into = _Gradients()
        own = False  # whether p is a tensor of these lines, which may be overwritten
        for i in range(len(self.layers)):
            if i in self.slopes:
                first, second, *_ = self.slopes[i]
                into.first[i] = p * self.g[i]
                if i in tangents.first:
                    into.first[i] += tangents.first[i]
                p = p.mul_(first) if own else p * first
                if i in squares:
                    p.addcmul_(second, squares[i])
                own = True
                continue
            _add(into.weight, i, self.affine[i].weight_gradient(p, self.g[i]))
            _add(into.weight, i, tangents.weight.get(i))
            if i + 1 < len(self.layers):
                p = self.affine[i].linear(p)
                own = own or self.affine[i].weight is not None
        q: Tensor | None = None
        for i in reversed(range(self.last + 1)):
            if i in self.slopes:
                first, second, *third = self.slopes[i]
                of_h = into.first[i].mul_(second)
                if i in squares:
                    of_h.addcmul_(self.g[i] * third[0], squares[i])
                q = of_h if q is None else of_h.addcmul_(q, first)
                continue
            assert q is not None, "the last of these layers is elementwise"
            layer = self.affine[i]
            _add(into.weight, i, layer.weight_gradient(self.h[i], q))
            _add(into.bias, i, layer.bias_gradient(q))
            q = layer.adjoint(q) if i > 0 or by_u else None
        return q, into


# Tangents at the input of each layer, with the intermediate result of `Affine.modulated`.
_Found = list[tuple[Tensor, Tensor | None]]


class _Tangents:
    """Tangents along directions, with the sums of their squares."""

    def __init__(self, sweeps: _Sweeps, t: Tensor, triangular: bool):
        self.sweeps = sweeps
        # Until the first elementwise layer, points do not matter.
        self.lead: list[Tensor] = []
        for i in range(sweeps.start):
            self.lead.append(t)
            t = _each_direction(sweeps.affine[i].linear, t)
        self.t = t
        # Curvature is the sum of the factors times half the squares.
        self.factors = {i: (sweeps.g[i] * slopes[1]).mul_(2) for i, slopes in sweeps.slopes.items()}
        self.squares: dict[int, Tensor] = {}
        size = max(factor.numel() for factor in self.factors.values())
        self.chunks = t.split(max(2, CHUNK // size), dim=1)
        lengths = [chunk.shape[1] for chunk in self.chunks]
        # A multiple of 16 keeps the rows aligned.
        before = [n // 16 * 16 for n in itertools.accumulate(lengths, initial=0)]
        self.skips = before[:-1] if triangular else [0] * len(lengths)
        self.kept: _Found | None = None

    def curvature(self) -> Tensor:
        """Curvature along all directions, (R, B)."""
        return reduce(
            add,
            (
                0.5 * (self.factors[i] * squares).sum(tuple(range(2, squares.dim())))
                for i, squares in self.squares.items()
            ),
        )

    def sweep(self) -> None:
        """Carry all directions up the layers, and keep the tangents where they are few."""
        for found in self._rise():
            self.kept = found if len(self.chunks) == 1 else None

    def differentiate(self, into: _Gradients, each: Tensor | None = None) -> None:
        """Differentiate the sum of the curvatures, each times its factor (R, B)."""
        sweeps = self.sweeps
        factors = {
            i: f if each is None else f * _with_axes(each, f) for i, f in self.factors.items()
        }
        found = [self.kept] if self.kept else self._rise()
        downs = [
            self._down(one, skip, factors, into)
            for one, skip in zip(found, self.skips, strict=True)
            if sweeps.start < sweeps.last
        ]
        factor = factors[sweeps.start]
        if self.t.shape[2] < factor.shape[1]:
            factor = factor.sum(1, keepdim=True)
        factor = factor.unsqueeze(1)
        if downs:
            g = downs[0] if len(downs) == 1 else torch.cat(downs, dim=1)
            g.addcmul_(self.t, factor)
        else:
            g = self.t * factor
        for i in reversed(range(sweeps.start)):
            layer, t = sweeps.affine[i], self.lead[i]
            _add(into.weight, i, layer.weight_gradient(t.flatten(1, 2), g.flatten(1, 2)))
            if i > 0:
                g = _each_direction(layer.adjoint, g)

    def _rise(self) -> Iterator[_Found]:
        """Tangents of each chunk in turn; their squares are summed anew."""
        self.squares = {self.sweeps.start: self.t.square().sum(1)}
        return map(self._up, self.chunks, self.skips)

    def _up(self, t: Tensor, skip: int) -> _Found:
        """Tangents at the input of each layer from the first elementwise one on."""
        layers, slopes = self.sweeps.affine, self.sweeps.slopes
        found: _Found = []
        for i in range(self.sweeps.start, self.sweeps.last + 1):
            before, product = t, None
            if i - 1 in slopes:
                # An elementwise layer acts with the affine one that follows it.
                t, product = layers[i].modulated(t, slopes[i - 1][0], skip)
                skip = 0
            elif i not in slopes:
                t = _each_direction(layers[i].linear, t)
            elif i > self.sweeps.start:
                for one in t.unbind(1):
                    if i in self.squares:
                        self.squares[i].addcmul_(one, one)
                    else:
                        self.squares[i] = one.square()
            found.append((before, product))
        return found

    def _down(
        self, found: _Found, skip: int, factors: dict[int, Tensor], into: _Gradients
    ) -> Tensor:
        """Differentiate by the tangents at the first elementwise layer, but for its squares."""
        layers, slopes = self.sweeps.affine, self.sweeps.slopes
        g: Tensor | None = None
        for i in reversed(range(self.sweeps.start + 1, self.sweeps.last + 1)):
            t, product = found[i - self.sweeps.start]
            if i in slopes:
                factor = factors[i].unsqueeze(1)
                g = t * factor if g is None else g.addcmul_(t, factor)
                continue
            assert g is not None, "the last of these layers is elementwise"
            if i - 1 in slopes:
                assert product is not None
                is_first = i - 1 == self.sweeps.start
                weight, g, first = layers[i].modulated_gradient(
                    t, slopes[i - 1][0], product, g, skip if is_first else 0
                )
                _add(into.weight, i, weight)
                _add(into.first, i - 1, first)
            else:
                weight = layers[i].weight_gradient(t.flatten(1, 2), g.flatten(1, 2))
                _add(into.weight, i, weight)
                g = _each_direction(layers[i].adjoint, g)
        assert g is not None, "there are elementwise layers after the first"
        return g


def _each_direction(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Apply a map of points to directions (R, K, B, ...)."""
    return function(t.flatten(1, 2)).unflatten(1, t.shape[1:3])
