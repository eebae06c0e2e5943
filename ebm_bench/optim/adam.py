"""Optimiser steps of many replicates at once, each clipped and stopped by itself."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_bench.derivatives.base import is_at_hand
from ebm_bench.errors import InputError

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimiser:
    """Adam on a cosine schedule, with gradients clipped per replicate.

    A replicate whose loss or gradient is not finite has diverged: its weights stay as they are,
    while the others continue. `torch.optim` has no replicates, and its import of the compiler
    takes two seconds.

    Parameters
    ----------
    parameter_groups : list of list of torch.nn.Parameter
        Parameters that are clipped together. The replicates are the first axis of each, or
        the one replicate it belongs to is its attribute ``replicate``. An attribute ``rate``
        multiplies the learning rate of a parameter; with an attribute ``every`` it is updated
        in every so many steps only.
    replicates : int
        Number of replicates.
    learning_rate : float or sequence of float
        Initial learning rate, or that of each replicate; it falls to a hundredth along a half
        cosine.
    clip : float
        Largest norm of the gradient of a replicate and group.
    steps : int
        Length of the schedule.

    Attributes
    ----------
    alive : Tensor of bool, shape (R,)
        Which replicates have not diverged.
    ended : Tensor of int, shape (R,)
        Step at which each replicate diverged, or the length of the schedule.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    arXiv:1412.6980.
    """

    def __init__(
        self,
        parameter_groups: list[list[nn.Parameter]],
        replicates: int,
        learning_rate: float | Sequence[float],
        clip: float,
        steps: int,
    ):
        groups = [group for group in parameter_groups if group]
        if not groups:
            raise InputError("this energy has no parameters: there is nothing to train")
        self.parameters = [parameter for group in groups for parameter in group]
        self._tensors: list[Tensor] = [*self.parameters]
        self.clip, self.steps = clip, steps
        rates = [learning_rate] if isinstance(learning_rate, (int, float)) else [*learning_rate]
        self.learning_rate = max(rates)
        device = self.parameters[0].device
        self.alive = torch.ones(replicates, dtype=torch.bool, device=device)
        self.ended = torch.full((replicates,), steps, device=device)
        # Gradients and moments are rows of numbers, one per replicate: a few large operations
        # take less time than a few for each parameter.
        lengths = [len(group) for group in groups]
        self._bounds = list(itertools.pairwise(itertools.accumulate(lengths, initial=0)))
        blocks = [self._block(self.parameters[a:b], self.parameters[a:b]) for a, b in self._bounds]
        self._widths = [block.shape[1] for block in blocks]
        change = torch.zeros_like(torch.cat(blocks, dim=1), requires_grad=False)
        self.first, self.second = torch.zeros_like(change), torch.zeros_like(change)
        self._change = change
        self._relative, every = self._attribute("rate"), self._attribute("every")
        # Which numbers move in every so many steps only.
        paces = {getattr(p, "every", 1) for p in self.parameters} - {1}
        self._resting = {pace: every == pace for pace in paces} if every is not None else {}
        if min(rates) < self.learning_rate:
            shares = change.new_tensor(rates)[:, None] / self.learning_rate
            self._relative = shares if self._relative is None else self._relative * shares
        parts = change.split(self._widths, dim=1)
        self._changes = [
            view
            for (a, b), part in zip(self._bounds, parts, strict=True)
            for view in _views(self.parameters[a:b], part)
        ]

    def rate(self, step: int) -> float:
        """Learning rate of a step; the largest, where replicates have their own."""
        share = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * (0.01 + 0.99 * share)

    def step(self, loss: Tensor, step: int) -> None:
        """Differentiate the losses, shape (R,), and update the replicates that have not diverged.

        By parameters that rest in this step the losses are not differentiated.

        Parameters
        ----------
        loss : Tensor of shape (R,)
            Losses to be minimised.
        step : int
            Number of previous steps.
        """
        moving = [p for p in self.parameters if _moves(p, step)]
        found = iter(
            torch.autograd.grad(loss.sum(), moving, allow_unused=True, materialize_grads=True)
            if moving
            else ()
        )
        rows = tuple(next(found) if _moves(p, step) else p for p in self.parameters)
        self.update(rows, torch.isfinite(loss.detach()), step)

    @torch.no_grad()
    def update(self, gradients: tuple[Tensor, ...], finite: Tensor, step: int) -> None:
        """Clip the gradients and move the parameters of the replicates that are finite.

        What is given for parameters that rest in this step does not matter.
        """
        gradients = tuple(
            gradient if _moves(p, step) else torch.zeros_like(p)
            for p, gradient in zip(self.parameters, gradients, strict=True)
        )
        blocks = []
        for a, b in self._bounds:
            block = self._block(self.parameters[a:b], gradients[a:b])
            norm = torch.linalg.vector_norm(block, dim=1, keepdim=True)
            finite = finite & torch.isfinite(norm[:, 0])
            blocks.append(block.mul_((self.clip / norm).clamp(max=1.0)))
        # Without a branch, which would synchronise with a GPU.
        self.ended = torch.where(self.alive & ~finite, step, self.ended)
        self.alive = self.alive & finite
        rows = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)
        if not is_at_hand(rows) or not self.alive.all():
            # Without momentum and gradient, Adam leaves the weights exactly where they are.
            diverged = ~self.alive[:, None]
            rows.masked_fill_(diverged, 0.0)
            self.first.masked_fill_(diverged, 0.0)
        kept = (self.first.clone(), self.second.clone()) if self._resting else None
        self._move(rows, step)
        if self._relative is not None:
            self._change.mul_(self._relative)
        if kept is not None:
            self._rest(kept, step)
        torch._foreach_add_(self._tensors, self._changes, alpha=self.rate(step))

    def _move(self, rows: Tensor, step: int) -> None:
        """Update the moments, and set the change of the weights at a learning rate of 1."""
        torch._fused_adam_(
            [self._change.zero_()],
            [rows],
            [self.first],
            [self.second],
            [],
            [torch.full((), step + 1.0, device=rows.device)],
            lr=1.0,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _rest(self, kept: tuple[Tensor, Tensor], step: int) -> None:
        """Take back the update of what rests in this step, as if there were no such step."""
        for every, these in self._resting.items():
            updates, rests = divmod(step + 1, every)
            if rests:
                for moment, before in zip((self.first, self.second), kept, strict=True):
                    torch.where(these, before, moment, out=moment)
                self._change.masked_fill_(these, 0.0)
                continue
            # The biases of the moments are those of as many updates as there were.
            first, second = ((1 - beta ** (step + 1)) / (1 - beta**updates) for beta in BETAS)
            factor = first / math.sqrt(second)
            torch.where(these, self._change * factor, self._change, out=self._change)

    def _attribute(self, name: str) -> Tensor | None:
        """Lay an attribute of parameters out as their gradients are; None where all are 1."""
        if all(getattr(parameter, name, 1) == 1 for parameter in self.parameters):
            return None  # as nearly always
        values = [torch.full_like(p, getattr(p, name, 1.0)) for p in self.parameters]
        parts = [self._block(self.parameters[a:b], values[a:b]) for a, b in self._bounds]
        return torch.cat(parts, dim=1)

    def state_dict(self) -> dict:
        """State for a checkpoint."""
        names = ("alive", "ended", "first", "second")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        """Restore the state of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)

    def _block(self, parameters: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
        """Flatten values of parameters into one row per replicate, (R, n)."""
        stacked: list[Tensor] = []
        own: list[list[Tensor]] = [[] for _ in range(len(self.alive))]
        for parameter, value in zip(parameters, values, strict=True):
            replicate = getattr(parameter, "replicate", None)
            if replicate is None:
                stacked.append(value.reshape(len(own), -1))
            else:
                own[replicate].append(value.flatten())
        if own[0]:
            stacked.append(torch.stack([torch.cat(parts) for parts in own]))
        return torch.cat(stacked, dim=1)


def _moves(parameter: Tensor, step: int) -> bool:
    """Whether a parameter is updated after so many previous steps."""
    return (step + 1) % getattr(parameter, "every", 1) == 0


def _views(parameters: Sequence[Tensor], block: Tensor) -> list[Tensor]:
    """Find the parts of a block, as `Optimiser._block` makes it, that belong to parameters."""
    shared = [p for p in parameters if not hasattr(p, "replicate")]
    used = [0] * len(block)
    position, views = 0, []
    start = sum(p[0].numel() for p in shared)
    for parameter in parameters:
        replicate = getattr(parameter, "replicate", None)
        if replicate is None:
            part = block[:, position : position + parameter[0].numel()]
            position += parameter[0].numel()
        else:
            begin = start + used[replicate]
            part = block[replicate, begin : begin + parameter.numel()]
            used[replicate] += parameter.numel()
        views.append(part.view(parameter.shape))
    return views
