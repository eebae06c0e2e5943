"""Energies and their gradients where nothing is trained: in chunks, without a graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_bench.derivatives import sweeps

# Numbers in the points of one chunk, all replicates together.
_CHUNK = 6144


def excess_and_slope(energy: nn.Module, u: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate what an energy has above that of its base measure, where nothing is trained.

    Some points at a time. A smooth network is just that excess; it is differentiated by hand,
    without a graph.

    Parameters
    ----------
    energy : Energy
        Maps (R, C, *event_shape) to (R, C).
    u : Tensor of shape (R, C, *event_shape)
        Points in units of the base measure, ``(x − location) / scale``.

    Returns
    -------
    excess : Tensor of shape (R, C)
        ``f = E − ½‖u‖²``, detached.
    slope : Tensor of shape (R, C, *event_shape)
        ``∂f/∂u``, detached; ``∇E = (u + slope) / scale``.
    """
    function = _sweep if sweeps.covers(getattr(energy, "layers", ())) else _autograd
    excess, slopes = zip(*(function(energy, part) for part in chunks(u)), strict=True)
    return join(excess), join(slopes)


def chunks(x: Tensor) -> tuple[Tensor, ...]:
    """Split points (R, N, *event_shape): what some become inside a network stays in cache."""
    return x.split(max(128, _CHUNK // (len(x) * x[0, 0].numel())), 1)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Put together what was computed of chunks of points."""
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def gradient(energy: nn.Module, x: Tensor) -> Tensor:
    """Differentiate an energy at points (R, C, *event_shape) where nothing is trained."""
    u = rescale(energy, x)
    _, slope = excess_and_slope(energy, u)
    return (u + slope) / energy.scale


def rescale(energy: nn.Module, x: Tensor) -> Tensor:
    """Turn points (R, C, *event_shape) into units of the base measure."""
    return (x.detach() - energy.location) / energy.scale


def unscale(energy: nn.Module, u: Tensor) -> Tensor:
    """Turn points (R, C, *event_shape) in units of the base measure into those of the data."""
    return torch.addcmul(energy.location, energy.scale, u)


def half_square(u: Tensor) -> Tensor:
    """Compute ``½‖u‖²`` of each point, (R, C): the energy of the base measure."""
    return 0.5 * torch.linalg.vector_norm(u.flatten(2), dim=2).square()


def _autograd(energy: nn.Module, u: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = u.detach().requires_grad_()
        value = energy(unscale(energy, point))
        (slope,) = torch.autograd.grad(value.sum(), point)
    return value.detach() - half_square(u), slope - u


@torch.no_grad()
def _sweep(energy: nn.Module, u: Tensor) -> tuple[Tensor, Tensor]:
    energy.count(u.shape[1])
    h, inputs = u, []
    for layer in energy.layers:
        inputs.append(h)
        h = layer(h)
    g = torch.ones_like(h)
    for layer, a in zip(reversed(energy.layers), reversed(inputs), strict=True):
        g = layer.pull_back(g, a) if layer.elementwise else layer.adjoint(g)
    return h.squeeze(2), g
