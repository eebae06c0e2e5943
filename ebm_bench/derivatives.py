"""Derivatives of energies with respect to points: the compute core.

Networks of affine and elementwise layers are differentiated by plain tensor operations: one
sweep forward for the tangents, one backward for the adjoint, and no derivative of a
derivative when the loss is differentiated with respect to the weights. With pre-activations
``a``, their tangents ``t`` along a direction ``v`` and the adjoints ``g`` of the activations,
``vᵀ ∇²f v = Σ g σ''(a) t²`` over all units of all layers. Any other energy goes through
automatic differentiation, twice.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Numbers in the tangents of one chunk of directions: about what a cache holds.
_CHUNK = 1 << 20


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
    if hasattr(energy, "layers"):
        energy.evaluations += x.shape[1]
        return _sweep(energy, x)[0]
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
    energy.evaluations += v.shape[1] * x.shape[1]
    if hasattr(energy, "layers"):
        energy.evaluations += x.shape[1]
        first, slopes = _sweep(energy, x)
        t = v / energy.scale.unsqueeze(1)
        return first, _network_curvature(energy, t, slopes) + t.square().flatten(3).sum((1, 3))
    first, point = _autograd_gradient(energy, x)
    total = sum(
        (_autograd_product(first, point, direction) * direction).flatten(2).sum(2)
        for direction in v.unbind(1)
    )
    return first, total


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
    if hasattr(energy, "layers"):
        v = energy.directions()
        energy.evaluations += (1 + v.shape[1]) * x.shape[1]
        first, slopes = _sweep(energy, x)
        scale = energy.scale.unsqueeze(1)
        base = scale.pow(-2).flatten(1).sum(1, keepdim=True)
        return first, _network_curvature(energy, v / scale, slopes) + base
    size = x[0, 0].numel()
    energy.evaluations += size * x.shape[1]
    first, point = _autograd_gradient(energy, x)
    flat = first.flatten(2)
    rows = (
        torch.autograd.grad(flat[..., i].sum(), point, create_graph=True, materialize_grads=True)[0]
        for i in range(size)
    )
    return first, sum(row.flatten(2)[..., i] for i, row in enumerate(rows))


def _sweep(energy, x: Tensor):
    """Gradient of a network energy, and (σ', g σ'') of each elementwise layer."""
    u = (x - energy.location) / energy.scale
    h, slopes = u, {}
    for index, layer in enumerate(energy.layers):
        if layer.elementwise:
            slopes[index] = layer.slopes(h)
        h = layer(h)
    g = torch.ones_like(h)
    for index, layer in reversed(list(enumerate(energy.layers))):
        if layer.elementwise:
            first, second = slopes[index]
            slopes[index] = (first, g * second)
            g = g * first
        else:
            g = layer.adjoint(g)
    return (g + u) / energy.scale, slopes


def _network_curvature(energy, t: Tensor, slopes) -> Tensor:
    """Sum over directions of the network's curvature, (R, B), in chunks of directions."""
    points = next(iter(slopes.values()))[0].shape[1]
    widest = max(first[0, 0].numel() for first, _ in slopes.values())
    count = max(1, _CHUNK // (points * max(widest, t[0, 0, 0].numel())))
    chunks = t.split(count, dim=1)
    if len(chunks) == 1:
        return _chunk_curvature(energy, t, slopes)
    # Recomputed in the backward pass, so that memory does not grow with the directions.
    return sum(
        checkpoint(_chunk_curvature, energy, chunk, slopes, use_reentrant=False) for chunk in chunks
    )


def _chunk_curvature(energy, t: Tensor, slopes) -> Tensor:
    directions, total, last = t.shape[1], 0.0, max(slopes)
    for index, layer in enumerate(energy.layers):
        if layer.elementwise:
            first, weighted = slopes[index]
            total = total + (weighted * t.square().sum(1)).flatten(2).sum(2)
            if index == last:
                return total
            t = first.unsqueeze(1) * t
        else:
            t = layer.linear(t.flatten(1, 2)).unflatten(1, (directions, -1))
    raise AssertionError("a network has at least one elementwise layer")


def _autograd_gradient(energy: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_()
        total = energy(point).sum()
        return torch.autograd.grad(total, point, create_graph=True)[0], point


def _autograd_product(first: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """Hessian-vector product, zero where the gradient does not depend on the point."""
    return torch.autograd.grad((first * v).sum(), x, create_graph=True, materialize_grads=True)[0]
