"""Derivatives of networks of affine and elementwise layers, by plain tensor operations.

A sweep forward gives the inputs ``h`` of all layers, one backward the adjoints ``g`` of their
outputs, and a second one forward the tangents ``t`` of the inputs along directions ``v``. Then
``vᵀ ∇²f v = Σ g σ'' t²`` over the units of all elementwise layers. The derivative of both
sweeps with respect to the weights is written out, so that a loss made of them needs no
derivative of a derivative.
"""

import itertools
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ebm_bench.derivatives.base import Affine, Elementwise, Network, is_at_hand
from ebm_bench.derivatives.tangents import Gradients, accumulate, with_axes

log = logging.getLogger("ebm_bench")


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
        return Sweeps(list(layers), u, order=1).gradient
    return _apply(layers, u, None)[0]


def curvature(
    layers: Iterable[nn.Module], u: Tensor, tangents: "Callable[[Sweeps], Any]"
) -> tuple[Tensor, Tensor]:
    """Differentiate a network once, and twice along directions.

    Parameters
    ----------
    layers : sequence of Affine and Elementwise
        From (R, B, *event_shape) to (R, B, 1); see `supports`.
    u : Tensor of shape (R, B, *event_shape)
        Points.
    tangents : callable
        Makes `tangents.Directions` or `local.LocalTangents` of the sweeps. They start at
        directions that are held constant.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
    curvature : Tensor of shape (R, B)
        Summed over the directions.
    """
    if torch.compiler.is_compiling():
        # The compiler differentiates plain operations better than it traces what is written out.
        sweeps = Sweeps(list(layers), u, order=2)
        along = tangents(sweeps)
        along.sweep()
        return sweeps.gradient, along.curvature()
    return _apply(layers, u, tangents)


def _apply(
    layers: Iterable[nn.Module], u: Tensor, tangents: "Callable[[Sweeps], Any] | None"
) -> Any:
    weights = [w for layer in layers for w in _weights(layer)]
    return _Network.apply(u, tangents, list(layers), *weights)


def _weights(layer: nn.Module) -> tuple[nn.Parameter, ...]:
    if isinstance(layer, Affine) and layer.weight is not None and layer.bias is not None:
        return layer.weight, layer.bias
    return ()


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, tangents, layers, *weights):
        learns = any(ctx.needs_input_grad)
        ctx.sweeps = Sweeps(layers, u, order=1 + (tangents is not None) + learns)
        # A graph that held its own result would stay until Python looks for such cycles.
        gradient = vars(ctx.sweeps).pop("gradient")
        ctx.tangents = ctx.ahead = None
        if tangents is None:
            return gradient, None
        ctx.tangents = tangents(ctx.sweeps)
        if not ctx.tangents.passes_at_once and learns and is_at_hand(u):
            # Most losses are means over points: their gradient is known up to a factor, and is
            # formed now, while the tangents of each chunk are at hand.
            ctx.ahead = Gradients()
            ctx.tangents.differentiate(ctx.ahead)
        else:
            ctx.tangents.sweep()
        return gradient, ctx.tangents.curvature()

    @staticmethod
    @once_differentiable
    def backward(ctx, of_gradient, of_curvature):
        sweeps, tangents, by_u = ctx.sweeps, ctx.tangents, ctx.needs_input_grad[0]
        if tangents is None:
            return _returned(sweeps, *sweeps.differentiate(of_gradient, {}, Gradients(), by_u))
        factor = of_curvature[:, :1]
        alike = is_at_hand(factor) and torch.equal(of_curvature, factor.expand_as(of_curvature))
        if alike and factor.all():
            # The same for all points: taken out of everything and put back in the end.
            found, each = ctx.ahead, None
            of_gradient = of_gradient / with_axes(factor, of_gradient)
        else:
            found, each, factor = None, of_curvature, None
        if found is None:
            found = Gradients()
            tangents.differentiate(found, each)
        squares = tangents.squares
        if each is not None:
            squares = {i: value * with_axes(each, value) for i, value in squares.items()}
        of_u, found = sweeps.differentiate(of_gradient, squares, found, by_u)
        return _returned(sweeps, of_u, found, factor)


def _returned(
    sweeps: "Sweeps", of_u: Tensor | None, found: Gradients, factor: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """Order derivatives as the arguments of `_Network`, times the factor (R, 1)."""
    weights = [
        kind.get(i)
        for i, layer in enumerate(sweeps.layers)
        for kind, _ in zip((found.weight, found.bias), _weights(layer), strict=False)
    ]
    if factor is not None:
        of_u, *weights = (
            value if value is None else value * with_axes(factor, value)
            for value in (of_u, *weights)
        )
    return of_u, None, None, *weights


class Sweeps:
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

    def factors(self) -> dict[int, Tensor]:
        """Find what to multiply squares of tangents with: curvature is half their sum."""
        return {i: (self.g[i] * slopes[1]).mul_(2) for i, slopes in self.slopes.items()}

    def differentiate(
        self, p: Tensor, squares: dict[int, Tensor], tangents: Gradients, by_u: bool
    ) -> tuple[Tensor | None, Gradients]:
        """Differentiate through the adjoints and the inputs.

        Parameters
        ----------
        p : Tensor of shape (R, B, *event_shape)
            Derivative of the loss by the gradient.
        squares : dict of int to Tensor
            Of the tangents, times the derivative of the loss by the curvature.
        tangents : Gradients
            What came through the tangents.
        by_u : bool
            Whether to differentiate by the points too.

        Returns
        -------
        of_u : Tensor of shape (R, B, *event_shape) or None
            Derivative of the loss by the points.
        into : Gradients
            By all weights and biases.
        """
        into = Gradients()
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
            accumulate(into.weight, i, self.affine[i].weight_gradient(p, self.g[i]))
            accumulate(into.weight, i, tangents.weight.get(i))
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
            accumulate(into.weight, i, layer.weight_gradient(self.h[i], q))
            accumulate(into.bias, i, layer.bias_gradient(q))
            q = layer.adjoint(q) if i > 0 or by_u else None
        return q, into
