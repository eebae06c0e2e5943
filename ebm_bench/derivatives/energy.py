"""Gradient, curvature and Laplacian of an energy, differentiable in its weights.

Networks of affine and elementwise layers go through `ebm_bench.derivatives.sweeps`, which needs no
derivative of a derivative; any other energy through `ebm_bench.derivatives.autograd`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ebm_bench.derivatives import autograd, for_samplers, sweeps
from ebm_bench.derivatives.base import Network
from ebm_bench.derivatives.local import LocalTangents, receptive_field
from ebm_bench.derivatives.tangents import Directions

Points = Callable[[Tensor], Tensor]  # maps (R, B, *event_shape) to (R, B)


def gradient(energy: Points, x: Tensor) -> Tensor:
    """Differentiate an energy once.

    Parameters
    ----------
    energy : Energy
        Maps (R, B, *event_shape) to (R, B).
    x : Tensor of shape (R, B, *event_shape)
        Points.

    Returns
    -------
    Tensor of shape (R, B, *event_shape)
        ``∇E``, differentiable in the weights and in ``x``. Under `torch.no_grad` it is computed
        in chunks and detached, which is faster and takes less memory.
    """
    if not torch.is_grad_enabled():
        return for_samplers.gradient(energy, x)
    if sweeps.supports(energy):
        energy.count(x.shape[1])
        u = (x - energy.location) / energy.scale
        return (sweeps.gradient(energy.layers, u) + u) / energy.scale
    return autograd.value_and_gradient(energy, x, create_graph=True)[1]


def curvature(energy: Points, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate an energy once, and twice along directions.

    Parameters
    ----------
    energy, x
        As for `gradient`.
    v : Tensor of shape (R, K, B, *event_shape)
        K directions for each point, held constant when the result is differentiated.

    Returns
    -------
    gradient : Tensor of shape (R, B, *event_shape)
        ``∇E``.
    curvature : Tensor of shape (R, B)
        ``Σ_k v_kᵀ ∇²E v_k``.
    """
    count = v.shape[1] * x.shape[1]
    if not sweeps.supports(energy):
        _count(energy, count)
        return autograd.curvature(energy, x, v)
    energy.count(count + x.shape[1])
    t = v / energy.scale.unsqueeze(1)
    first, total = _curvature(energy, x, partial(Directions, t=t))
    return first, total + t.square().flatten(3).sum((1, 3))


def laplacian(energy: Points, x: Tensor) -> tuple[Tensor, Tensor]:
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
    if not sweeps.supports(energy):
        _count(energy, x[0].numel())
        return autograd.laplacian(energy, x)
    tangents: Callable[[sweeps.Sweeps], Any]
    if side := receptive_field(energy.layers):
        channels, height, width = energy.event_shape
        count = channels * min(side, height) * min(side, width)
        tangents = partial(LocalTangents, scale=energy.scale)
    else:
        v, triangular = energy.directions()
        count, t = v.shape[1], v / energy.scale.unsqueeze(1)
        tangents = partial(Directions, t=t, triangular=triangular)
    energy.count((1 + count) * x.shape[1])
    first, total = _curvature(energy, x, tangents)
    return first, total + energy.scale.pow(-2).flatten(2).sum(2)


def _count(energy: Points, points: int) -> None:
    getattr(energy, "count", lambda _: None)(points)  # any module may be differentiated


def _curvature(
    energy: Network, x: Tensor, tangents: Callable[[sweeps.Sweeps], Any]
) -> tuple[Tensor, Tensor]:
    """Gradient of an energy, and curvature of its network without the base measure.

    Along directions in units of the energy's scale; see `sweeps.curvature`.
    """
    u = (x - energy.location) / energy.scale
    slope, total = sweeps.curvature(energy.layers, u, tangents)
    return (slope + u) / energy.scale, total
