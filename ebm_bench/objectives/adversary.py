"""What objectives share of which a part is trained against the energy."""

import torch
from torch import Tensor, nn


def reversed_gradient(x: Tensor) -> Tensor:
    """Return ``x``, and reverse the sign of the gradient that passes it."""
    return _Reversed.apply(x)


def pace(player: nn.Module, rate: float = 1.0, every: int = 1) -> None:
    """Let a player learn at its own rate and in its turn.

    Parameters
    ----------
    player : torch.nn.Module
        Whose parameters are marked, for `ebm_bench.optim.adam.Optimiser`.
    rate : float
        Learning rate, as a part of that of the training.
    every : int
        It moves in every so many steps of the training.
    """
    for parameter in player.parameters():
        setattr(parameter, "rate", rate)  # noqa: B010  # no attribute of parameters
        setattr(parameter, "every", every)  # noqa: B010


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient
