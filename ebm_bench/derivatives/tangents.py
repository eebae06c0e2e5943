"""Tangents at the inputs of the elementwise layers of a network, and derivatives by way of them.

Those along many directions pass in chunks, each of which leaves nothing but its share of the
gradient, so that memory does not grow with their number.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ebm_bench.derivatives.sweeps import Sweeps

# Numbers in the tangents of one chunk of directions: about what a cache holds.
CHUNK = 1 << 16


def with_axes(factor: Tensor, value: Tensor) -> Tensor:
    """Give factors of points, (R, B or 1), as many axes as a value has."""
    return factor.reshape(*factor.shape, *[1] * (value.dim() - 2))


@dataclass
class Gradients:
    """Derivatives of a loss by weights, biases and first slopes, each by position of the layer."""

    weight: dict[int, Tensor] = field(default_factory=dict)
    bias: dict[int, Tensor] = field(default_factory=dict)
    first: dict[int, Tensor] = field(default_factory=dict)


def accumulate(to: dict[int, Tensor], i: int, value: Tensor | None) -> None:
    """Add what came to the derivative of layer i, if anything did."""
    if value is not None:
        to[i] = to[i].add_(value) if i in to else value


# Tangents at the input of each layer, with the intermediate result of `Affine.modulated`.
_Found = list[tuple[Tensor, Tensor | None]]


class Tangents:
    """Tangents from the first elementwise layer on, with the sums of their squares.

    Parameters
    ----------
    affine : dict of int to Affine
        The affine layers by position.
    slopes, factors : dict of int to Tensor
        First derivatives of the elementwise layers, and what to multiply squares with: curvature
        is half their sum.
    t : Tensor of shape (R, K, B or 1, ...)
        Tangents at the first elementwise layer, K for each point or for all of them.
    length : int
        How many of the K pass at once.
    triangular : bool
        Whether the first k units of tangent k are zero.
    """

    def __init__(
        self,
        affine: Mapping[int, Any],
        slopes: dict[int, Tensor],
        factors: dict[int, Tensor],
        t: Tensor,
        length: int,
        triangular: bool = False,
    ):
        self.affine, self.slopes, self.factors, self.t = affine, slopes, factors, t
        self.start, self.last = min(factors), max(factors)
        self.chunks = t.split(length, dim=1)
        lengths = [chunk.shape[1] for chunk in self.chunks]
        # A multiple of 16 keeps the rows aligned.
        before = [n // 16 * 16 for n in itertools.accumulate(lengths, initial=0)]
        self.skips = before[:-1] if triangular else [0] * len(lengths)
        self.squares: dict[int, Tensor] = {}
        self.kept: _Found | None = None

    @property
    def passes_at_once(self) -> bool:
        """Whether all tangents are at hand at the same time."""
        return len(self.chunks) == 1

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
        """Carry all tangents up the layers, and keep them where they are few."""
        for found in self._rise():
            self.kept = found if self.passes_at_once else None

    def differentiate(self, into: Gradients, each: Tensor | None = None) -> Tensor:
        """Differentiate the sum of the curvatures, each times its factor (R, B).

        Returns
        -------
        Tensor
            Derivative by the tangents at the first elementwise layer.
        """
        factors = {
            i: f if each is None else f * with_axes(each, f) for i, f in self.factors.items()
        }
        found = [self.kept] if self.kept else self._rise()
        downs = [
            self._down(one, skip, factors, into)
            for one, skip in zip(found, self.skips, strict=True)
            if self.start < self.last
        ]
        factor = factors[self.start]
        if self.t.shape[2] < factor.shape[1]:
            factor = factor.sum(1, keepdim=True)
        factor = factor.unsqueeze(1)
        if not downs:
            return self.t * factor
        g = downs[0] if len(downs) == 1 else torch.cat(downs, dim=1)
        return g.addcmul_(self.t, factor)

    def _rise(self) -> Iterator[_Found]:
        """Tangents of each chunk in turn; their squares are summed anew."""
        self.squares = {self.start: self.t.square().sum(1)}
        return map(self._up, self.chunks, self.skips)

    def _up(self, t: Tensor, skip: int) -> _Found:
        """Tangents at the input of each layer from the first elementwise one on."""
        layers, slopes = self.affine, self.slopes
        found: _Found = []
        for i in range(self.start, self.last + 1):
            before, product = t, None
            if i - 1 in slopes:
                # An elementwise layer acts with the affine one that follows it.
                t, product = layers[i].modulated(t, slopes[i - 1], skip)
                skip = 0
            elif i not in slopes:
                t = _each_direction(layers[i].linear, t)
            elif i > self.start:
                for one in t.unbind(1):
                    if i in self.squares:
                        self.squares[i].addcmul_(one, one)
                    else:
                        self.squares[i] = one.square()
            found.append((before, product))
        return found

    def _down(
        self, found: _Found, skip: int, factors: dict[int, Tensor], into: Gradients
    ) -> Tensor:
        """Differentiate by the tangents at the first elementwise layer, but for its squares."""
        layers, slopes = self.affine, self.slopes
        g: Tensor | None = None
        for i in reversed(range(self.start + 1, self.last + 1)):
            t, product = found[i - self.start]
            if i in slopes:
                factor = factors[i].unsqueeze(1)
                g = t * factor if g is None else g.addcmul_(t, factor)
                continue
            assert g is not None, "the last of these layers is elementwise"
            if i - 1 in slopes:
                assert product is not None
                is_first = i - 1 == self.start
                weight, g, first = layers[i].modulated_gradient(
                    t, slopes[i - 1], product, g, skip if is_first else 0
                )
                accumulate(into.weight, i, weight)
                accumulate(into.first, i - 1, first)
            else:
                weight = layers[i].weight_gradient(t.flatten(1, 2), g.flatten(1, 2))
                accumulate(into.weight, i, weight)
                g = _each_direction(layers[i].adjoint, g)
        assert g is not None, "there are elementwise layers after the first"
        return g


class Directions(Tangents):
    """Tangents along directions.

    Parameters
    ----------
    sweeps : Sweeps
        Inputs and adjoints of all layers.
    t : Tensor of shape (R, K, B or 1, *event_shape)
        Directions of each point, or those that all points share.
    triangular : bool
        Whether the tangents of the first k units along direction k are zero.
    """

    def __init__(self, sweeps: "Sweeps", t: Tensor, triangular: bool = False):
        # Until the first elementwise layer, points do not matter.
        self.lead: list[Tensor] = []
        for i in range(sweeps.start):
            self.lead.append(t)
            t = _each_direction(sweeps.affine[i].linear, t)
        factors = sweeps.factors()
        length = max(2, CHUNK // max(factor.numel() for factor in factors.values()))
        slopes = {i: slopes[0] for i, slopes in sweeps.slopes.items()}
        super().__init__(sweeps.affine, slopes, factors, t, length, triangular)

    def differentiate(self, into: Gradients, each: Tensor | None = None) -> Tensor:
        """Differentiate by the weights before the first elementwise layer, too."""
        g = super().differentiate(into, each)
        for i in reversed(range(self.start)):
            layer, t = self.affine[i], self.lead[i]
            accumulate(into.weight, i, layer.weight_gradient(t.flatten(1, 2), g.flatten(1, 2)))
            if i > 0:
                g = _each_direction(layer.adjoint, g)
        return g


def _each_direction(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Apply a map of points to directions (R, K, B, ...)."""
    return function(t.flatten(1, 2)).unflatten(1, t.shape[1:3])
