"""Derivatives of any energy by automatic differentiation, applied twice where needed."""

import operator
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor


def value_and_gradient(
    function: Callable[[Tensor], Tensor], x: Tensor, create_graph: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate and differentiate a function of points (R, B, *event_shape).

    Returns
    -------
    value : Tensor of shape (R, B)
    gradient : Tensor of shape (R, B, *event_shape)
        Differentiable if ``create_graph``.
    point : Tensor of shape (R, B, *event_shape)
        The points with respect to which ``gradient`` can be differentiated again.
    """
    with torch.enable_grad():
        point = x if create_graph and x.requires_grad else x.detach().requires_grad_()
        value = function(point)
        (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=create_graph)
    return value, gradient, point


def curvature(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient, and curvature summed over directions; see `ebm_bench.derivatives.curvature`."""
    _, gradient, point = value_and_gradient(function, x, create_graph=True)
    return gradient, reduce(
        operator.add,
        (
            (_again((gradient * left).sum(), point) * right).flatten(2).sum(2)
            for left, right in zip(*_fewest(v), strict=True)
        ),
    )


def laplacian(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Laplacian; see `ebm_bench.derivatives.laplacian`."""
    _, gradient, point = value_and_gradient(function, x, create_graph=True)
    entries = enumerate(gradient.flatten(2).unbind(2))
    return gradient, reduce(
        operator.add, (_again(entry.sum(), point).flatten(2)[..., i] for i, entry in entries)
    )


def _again(total: Tensor, point: Tensor) -> Tensor:
    """Second derivative, zero where the gradient does not depend on the point."""
    return torch.autograd.grad(total, point, create_graph=True, materialize_grads=True)[0]


def _fewest(v: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Find pairs of directions with ``Σ left rightᵀ = Σ v vᵀ``, at most one per coordinate."""
    flat = v.flatten(3)
    size = flat.shape[3]
    if flat.shape[1] <= size:
        return v.unbind(1), v.unbind(1)
    flat = flat.transpose(1, 2)
    squares = (flat.mT @ flat).unflatten(3, v.shape[3:])
    units = torch.eye(size).to(v).unflatten(1, v.shape[3:])
    return [unit.expand_as(v[:, 0]) for unit in units], squares.unbind(2)
