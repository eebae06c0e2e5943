"""Energies of data beside those of points nearby."""

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy


def energy_gaps(energy: Energy, x: Tensor, points: Tensor) -> Tensor:
    """Subtract the energies of points nearby from that of the data point they belong to.

    Parameters
    ----------
    energy : Energy
        Evaluated once, at all points together.
    x : Tensor of shape (R, B, *event_shape)
        Data.
    points : Tensor of shape (R, K, B, *event_shape)
        K points for each data point.

    Returns
    -------
    Tensor of shape (R, K, B)
        ``E(x) − E(y)``.
    """
    found = energy(torch.cat([x, points.flatten(1, 2)], dim=1))
    data, near = found.split([x.shape[1], points.shape[1] * x.shape[1]], dim=1)
    return data.unsqueeze(1) - near.unflatten(1, (points.shape[1], -1))
