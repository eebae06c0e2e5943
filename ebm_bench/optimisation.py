"""Optimiser steps of many replicates at once, each clipped and ended on its own."""

import math

import torch
from torch import Tensor, nn


class Optimiser:
    """Adam on a cosine schedule, with gradients clipped per replicate.

    A replicate whose loss or gradient is not finite has diverged: from then on it keeps the
    weights it had, while the others go on.

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
        self.learning_rate, self.clip, self.steps = learning_rate, clip, steps
        device = self.players[0][0].device
        self.alive = torch.ones(replicates, dtype=torch.bool, device=device)
        self.ended = torch.full((replicates,), steps, device=device)
        parameters = [p for player in self.players for p in player]
        self.adam = torch.optim.Adam(parameters, lr=learning_rate, fused=True)

    def step(self, loss: Tensor, step: int) -> None:
        """Differentiate the losses, shape (R,), and update the replicates that can be."""
        self.adam.zero_grad()
        loss.sum().backward()
        norms = [self._norm(player) for player in self.players]
        finite = torch.isfinite(loss.detach())
        for norm in norms:
            finite = finite & torch.isfinite(norm)
        self._end(self.alive & ~finite, step)
        for player, norm in zip(self.players, norms, strict=True):
            scale = (self.clip / norm).clamp(max=1.0)
            for parameter in player:
                self._scale(parameter, scale)
        share = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate * share
        self.adam.step()

    def state_dict(self) -> dict:
        """Collect what a checkpoint needs."""
        return {"adam": self.adam.state_dict(), "alive": self.alive, "ended": self.ended}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint."""
        self.adam.load_state_dict(state["adam"])
        self.alive.copy_(state["alive"])
        self.ended.copy_(state["ended"])

    def _norm(self, player: list[nn.Parameter]) -> Tensor:
        total = torch.zeros_like(self.alive, dtype=player[0].dtype)
        for parameter in player:
            if parameter.grad is None:
                continue
            replicate = getattr(parameter, "replicate", None)
            if replicate is None:
                total = total + parameter.grad.reshape(len(total), -1).square().sum(1)
            else:
                total[replicate] += parameter.grad.square().sum()
        return total.sqrt()

    def _scale(self, parameter: nn.Parameter, scale: Tensor) -> None:
        if parameter.grad is None:
            return
        replicate = getattr(parameter, "replicate", None)
        shape = (-1, *[1] * (parameter.dim() - 1)) if replicate is None else ()
        factor = (scale if replicate is None else scale[replicate]).view(shape)
        alive = (self.alive if replicate is None else self.alive[replicate]).view(shape)
        parameter.grad = torch.where(alive, parameter.grad * factor, 0.0)

    def _end(self, diverged: Tensor, step: int) -> None:
        if not diverged.any():
            return
        self.alive &= ~diverged
        self.ended[diverged] = step
        for parameter, state in self.adam.state.items():
            # Without momentum and gradient, Adam leaves the weights exactly where they are.
            replicate = getattr(parameter, "replicate", None)
            if replicate is None:
                state["exp_avg"][diverged] = 0
            elif diverged[replicate]:
                state["exp_avg"].zero_()
