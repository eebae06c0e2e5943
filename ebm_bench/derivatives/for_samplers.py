"""Values and gradients of energies whose weights are not trained: in chunks, without a graph.

Samplers work in units of the base measure, ``u = (x − location) / scale``, where the energy is
``½‖u‖²`` plus an excess ``f(u)``. A network computes just this excess.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_bench.derivatives import autograd, sweeps
from ebm_bench.derivatives.base import Above, Energy

# Numbers in the points of one chunk, all replicates together: intermediate results of a network
# at that many stay in cache.
_CHUNK = 6144


def value_and_grad(energy: Energy, u: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate and differentiate the excess of an energy over its base measure.

    Parameters
    ----------
    energy : Energy
        Maps (R, C, *event_shape) to (R, C).
    u : Tensor of shape (R, C, *event_shape)
        Points in units of the base measure.

    Returns
    -------
    excess : Tensor of shape (R, C)
        ``f = E − ½‖u‖²``, detached.
    slope : Tensor of shape (R, C, *event_shape)
        ``∂f/∂u``, detached; ``∇E = (u + slope) / scale``.
    """
    if isinstance(energy, Above):
        return energy.excess(u)
    excess, slopes = zip(*(_value_and_grad(*part) for part in _parts(energy, u)), strict=True)
    return join(excess), join(slopes)


def gradient(energy: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Differentiate an energy at points (R, C, *event_shape), detached."""
    return join([_gradient(*part) for part in _parts(energy, x)])


def chunks(x: Tensor) -> tuple[Tensor, ...]:
    """Split points (R, N, *event_shape) along N."""
    return x.split(max(128, _CHUNK // (len(x) * x[0, 0].numel())), 1)


def _parts(energy: Any, x: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """Chunks of points, each with its energy: one that differs between points is split too."""
    pieces = chunks(x)
    split = getattr(energy, "split", None) if len(pieces) > 1 else None
    energies = split([len(piece[0]) for piece in pieces]) if split else [energy] * len(pieces)
    return zip(energies, pieces, strict=True)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate results of `chunks` along N."""
    return torch.cat(tuple(parts), 1) if len(parts) > 1 else parts[0]


def rescale(energy: Energy, x: Tensor) -> Tensor:
    """Convert points (R, C, *event_shape) to units of the base measure."""
    return (x.detach() - energy.location) / energy.scale


def unscale(energy: Energy, u: Tensor) -> Tensor:
    """Convert points (R, C, *event_shape) in units of the base measure to those of the data."""
    return torch.addcmul(energy.location, energy.scale, u)


def half_square(u: Tensor) -> Tensor:
    """Compute ``½‖u‖²`` of each point, (R, C): the energy of the base measure."""
    return 0.5 * torch.linalg.vector_norm(u.flatten(2), dim=2).square()


def _value_and_grad(energy: Energy, u: Tensor) -> tuple[Tensor, Tensor]:
    if sweeps.supports(energy):
        energy.count(u.shape[1])
        return sweeps.value_and_gradient(energy.layers, u)
    value, slope, _ = autograd.value_and_gradient(lambda point: energy(unscale(energy, point)), u)
    return value.detach() - half_square(u), slope - u


def _gradient(energy: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if sweeps.supports(energy):
        u = rescale(energy, x)
        return (u + _value_and_grad(energy, u)[1]) / energy.scale
    return autograd.value_and_gradient(energy, x)[1]
