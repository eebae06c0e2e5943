"""Evaluation at many points in chunks, and averages over points."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebm_bench.derivatives.for_samplers import chunks, join


def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function to points (R, N, *event_shape) in chunks along N."""
    return join([function(chunk) for chunk in chunks(x)])


@torch.no_grad()
def energies(energy: nn.Module, x: Tensor) -> Tensor:
    """Evaluate an energy at points (R, N, *event_shape), shape (R, N)."""
    return in_chunks(energy, x)


def average(values: Tensor) -> dict[str, Tensor]:
    """Mean over points (R, N) with its standard error, in float64."""
    values = values.detach().double()
    return {
        "value": values.mean(1),
        "standard_error": values.std(1) / values.shape[1] ** 0.5,
    }
