"""Derivatives of energies with respect to points: the compute core.

Networks of affine and elementwise layers go through `ebm_bench.derivatives.sweeps`, which needs no
derivative of a derivative. Any other energy goes through automatic differentiation, twice.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_bench.derivatives import sweeps

log = logging.getLogger("ebm_bench")


def gradient(energy: nn.Module, x: Tensor) -> Tensor:
    """Differentiate an energy once.

    Parameters
    ----------
    energy : Energy
        Maps (R, B, *event_shape) to (R, B).
    x : Tensor of shape (R, B, *event_shape)
        Where.

    Returns
    -------
    Tensor of shape (R, B, *event_shape)
        ``∇E``, itself differentiable in the weights and in ``x``.
    """
    if _is_network(energy):
        _count(energy, x.shape[1])
        return _network(energy, x)[0]
    return _autograd_gradient(energy, x)[0]


def curvature(energy: nn.Module, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate an energy once, and twice along directions.

    Parameters
    ----------
    energy, x
        As for `gradient`.
    v : Tensor of shape (R, K, B, *event_shape)
        K directions for each point.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
        ``∇E``.
    curvature : Tensor of shape (R, B)
        ``Σ_k v_kᵀ ∇²E v_k``.
    """
    _count(energy, v.shape[1] * x.shape[1])
    if _is_network(energy):
        _count(energy, x.shape[1])
        t = v / energy.scale.unsqueeze(1)
        first, total = _network(energy, x, t)
        return first, total + t.square().flatten(3).sum((1, 3))
    first, point = _autograd_gradient(energy, x)
    return first, sum(
        (_autograd_product(first, point, left) * right).flatten(2).sum(2)
        for left, right in zip(*_fewest(v), strict=True)
    )


def laplacian(energy: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate an energy once, and sum its second derivatives over the coordinates.

    Parameters
    ----------
    energy, x
        As for `gradient`.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
        ``∇E``.
    laplacian : Tensor of shape (R, B)
        ``ΔE``, exactly.
    """
    if _is_network(energy):
        v, staircase = energy.directions()
        _count(energy, (1 + v.shape[1]) * x.shape[1])
        scale = energy.scale.unsqueeze(1)
        first, total = _network(energy, x, v / scale, staircase)
        return first, total + scale.pow(-2).flatten(1).sum(1, keepdim=True)
    size = x[0, 0].numel()
    _count(energy, size * x.shape[1])
    first, point = _autograd_gradient(energy, x)
    flat = first.flatten(2)
    rows = (
        torch.autograd.grad(flat[..., i].sum(), point, create_graph=True, materialize_grads=True)[0]
        for i in range(size)
    )
    return first, sum(row.flatten(2)[..., i] for i, row in enumerate(rows))


def _fewest(v: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Find few pairs of directions with ``Σ left rightᵀ = Σ v vᵀ``: at most one a coordinate."""
    flat = v.flatten(3)
    size = flat.shape[3]
    if flat.shape[1] <= size:
        return v.unbind(1), v.unbind(1)
    flat = flat.transpose(1, 2)
    squares = (flat.mT @ flat).unflatten(3, v.shape[3:])
    units = torch.eye(size).to(v).unflatten(1, v.shape[3:])
    return [unit.expand_as(v[:, 0]) for unit in units], squares.unbind(2)


def _count(energy: nn.Module, points: int) -> None:
    if hasattr(energy, "count"):  # a module of any kind may be differentiated
        energy.count(points)


def _is_network(energy: nn.Module) -> bool:
    """Tell whether the sweeps know all that an energy is made of."""
    if sweeps.covers(getattr(energy, "layers", ())):
        return True
    log.debug("%s is differentiated automatically", type(energy).__name__)
    return False


def _network(
    energy: nn.Module, x: Tensor, t: Tensor | None = None, staircase: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Gradient of a network energy, and curvature of its network without the base.

    Parameters
    ----------
    energy : Network
    x : Tensor of shape (R, B, *event_shape)
    t : Tensor of shape (R, K, B or 1, *event_shape), optional
        Directions in units of the energy's scale.
    staircase : bool
        See `Network.directions`.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
    curvature : Tensor of shape (R, B), or None without directions
    """
    u = (x - energy.location) / energy.scale
    gradient, curvature = sweeps.differentiate(energy.layers, u, t, staircase)
    return (gradient + u) / energy.scale, curvature


def _autograd_gradient(energy: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_()
        total = energy(point).sum()
        return torch.autograd.grad(total, point, create_graph=True)[0], point


def _autograd_product(first: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """Hessian-vector product, zero where the gradient does not depend on the point."""
    return torch.autograd.grad((first * v).sum(), x, create_graph=True, materialize_grads=True)[0]
