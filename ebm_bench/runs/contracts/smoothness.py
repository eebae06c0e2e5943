"""Whether an energy has the derivatives that it is said to have."""

import torch
from torch import Tensor

from ebm_bench.derivatives import curvature, gradient
from ebm_bench.energies.base import Energy

_SEGMENTS, _COARSE, _FINE, _ROUGH = 16, 8, 64, 0.4


def rough(energy: Energy, x: Tensor) -> str:
    """Describe how an energy is not smooth; empty if it is.

    Compare changes of energy and slope along segments with integrated derivatives.

    The curvature of a piecewise linear network is zero almost everywhere, so that no number of
    nodes makes the integral find the jumps of its slope; nor does that of the slope those of a
    step. If there are no jumps, eight times as many nodes have about an eighth of the error or
    less, up to rounding.
    """
    start, end = x[:, :_SEGMENTS].detach(), x[:, :_SEGMENTS].detach().roll(1, 1)
    along = end - start
    values = torch.stack([energy(start), energy(end)]).detach()
    slopes = torch.stack([gradient(energy, start), gradient(energy, end)])
    changes = torch.stack(
        [values.diff(dim=0)[0], (slopes.diff(dim=0)[0] * along).flatten(2).sum(2)]
    )
    errors = [(changes - _integrated(energy, start, along, n)).abs() for n in (_COARSE, _FINE)]
    size = along.flatten(2).square().sum(2) / energy.scale.square().mean() + changes.abs()
    size = size + torch.stack([values.abs().sum(0), torch.zeros_like(values[0])])
    rounding = 8 * torch.finfo(x.dtype).eps * (1 + (x / energy.scale).abs().max())
    floors = rounding * size.nan_to_num().sum((1, 2))
    coarse, fine = (error.nan_to_num().sum((1, 2)) for error in errors)
    jump, kink = (fine > torch.maximum(_ROUGH * coarse, floors)).tolist()
    if jump:
        return "the energy changes by more than its slope explains: it has jumps"
    if kink:
        return (
            "the slope changes by more than its second derivative explains, which is that of the "
            "base measure or zero almost everywhere"
        )
    return ""


def _integrated(energy: Energy, start: Tensor, along: Tensor, nodes: int) -> Tensor:
    """Integrate slope and curvature along segments, shape (2, R, B)."""
    total = torch.zeros(2, *start.shape[:2], dtype=torch.float64, device=start.device)
    for i in range(nodes):
        # Irregular nodes, as kinks may lie regularly.
        place = (i + (0.5 + 0.618034 * i) % 1) / nodes
        x = start + place * along
        slope, second = curvature(energy, x, along.unsqueeze(1))
        first = (slope * along).flatten(2).sum(2)
        total = total + torch.stack([first, second]).detach().double() / nodes
    return total
