"""Optimiser steps of many replicates at once, each clipped and ended on its own."""

import math

import torch
from torch import Tensor, nn

from ebm_bench.errors import InputError

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimiser:
    """Adam on a cosine schedule, with gradients clipped per replicate.

    A replicate whose loss or gradient is not finite has diverged: from then on it keeps the
    weights it had, while the others go on. Written here because `torch.optim` knows of no
    replicates, and takes two seconds to import what compiles it.

    Parameters
    ----------
    players : list of list of torch.nn.Parameter
        Parameters that are clipped together. The replicates are the first axis of each, or
        the one replicate it belongs to is its attribute ``replicate``.
    replicates : int
        Number of replicates.
    learning_rate : float
        At the first step; it falls to a hundredth along a half cosine.
    clip : float
        Largest norm of the gradient of a replicate and player.
    steps : int
        Length of the schedule.

    Attributes
    ----------
    alive : Tensor of bool, shape (R,)
        Which replicates have not diverged.
    ended : Tensor of int, shape (R,)
        The step at which each replicate did, or the length of the schedule.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    def __init__(
        self,
        players: list[list[nn.Parameter]],
        replicates: int,
        learning_rate: float,
        clip: float,
        steps: int,
    ):
        self.players = [player for player in players if player]
        if not self.players:
            raise InputError("this energy has no parameters: there is nothing to train")
        self.parameters = [parameter for player in self.players for parameter in player]
        self.learning_rate, self.clip, self.steps = learning_rate, clip, steps
        device = self.parameters[0].device
        self.alive = torch.ones(replicates, dtype=torch.bool, device=device)
        self.ended = torch.full((replicates,), steps, device=device)
        self.first = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.second = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        share = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * (0.01 + 0.99 * share)

    def step(self, loss: Tensor, step: int) -> None:
        """Differentiate the losses, shape (R,), and update the replicates that can be.

        Parameters
        ----------
        loss : Tensor of shape (R,)
            To be minimised.
        step : int
            Steps taken before this one.
        """
        gradients = torch.autograd.grad(
            loss.sum(), self.parameters, allow_unused=True, materialize_grads=True
        )
        self.update(gradients, torch.isfinite(loss.detach()), step)

    @torch.no_grad()
    def update(self, gradients: tuple[Tensor, ...], finite: Tensor, step: int) -> None:
        """Clip the gradients and move the parameters of the replicates that are finite."""
        remaining, scales = list(gradients), []
        for player in self.players:
            own, remaining = remaining[: len(player)], remaining[len(player) :]
            norm = self._norm(player, own)
            finite = finite & torch.isfinite(norm)
            scales += [(self.clip / norm).clamp(max=1.0)] * len(player)
        self._end(self.alive & ~finite, step)
        clipped = [
            torch.where(_of(self.alive, p), g * _of(scale, p), 0.0)
            for p, g, scale in zip(self.parameters, gradients, scales, strict=True)
        ]
        torch._foreach_lerp_(self.first, clipped, 1 - BETAS[0])
        torch._foreach_mul_(self.second, BETAS[1])
        torch._foreach_addcmul_(self.second, clipped, clipped, 1 - BETAS[1])
        spread = torch._foreach_sqrt(self.second)
        torch._foreach_div_(spread, math.sqrt(1 - BETAS[1] ** (step + 1)))
        torch._foreach_add_(spread, EPSILON)
        size = self.rate(step) / (1 - BETAS[0] ** (step + 1))
        torch._foreach_addcdiv_(self.parameters, self.first, spread, -size)

    def state_dict(self) -> dict:
        """Collect what a checkpoint needs."""
        names = ("alive", "ended", "first", "second")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)

    def _norm(self, player: list[nn.Parameter], gradients: list[Tensor]) -> Tensor:
        total = torch.zeros_like(self.alive, dtype=gradients[0].dtype)
        for parameter, gradient in zip(player, gradients, strict=True):
            replicate = getattr(parameter, "replicate", None)
            if replicate is None:
                total = total + gradient.reshape(len(total), -1).square().sum(1)
            else:
                total[replicate] += gradient.square().sum()
        return total.sqrt()

    def _end(self, diverged: Tensor, step: int) -> None:
        if not diverged.any():
            return
        self.alive &= ~diverged
        self.ended[diverged] = step
        for parameter, first in zip(self.parameters, self.first, strict=True):
            # Without momentum and gradient, Adam leaves the weights exactly where they are.
            first.copy_(torch.where(_of(diverged, parameter), 0.0, first))


def _of(per_replicate: Tensor, parameter: nn.Parameter) -> Tensor:
    """Shape numbers of all replicates, (R,), for a parameter: its own, or one per row."""
    replicate = getattr(parameter, "replicate", None)
    if replicate is not None:
        return per_replicate[replicate]
    return per_replicate.view(-1, *[1] * (parameter.dim() - 1))
