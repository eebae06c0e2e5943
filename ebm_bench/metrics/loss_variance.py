"""Variance of the training loss."""

import copy
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class LossVariance(Metric):
    """Variance of the objective's loss over batches, times their size.

    For a loss that is an average over independent points, this is the variance of the loss of
    one point, including its random directions or noise. Losses of different objectives have
    different scales. No value for by-products.

    Parameters
    ----------
    batches : int
        Number of batches.
    batch_size : int
        Points per batch.
    """

    batches: Annotated[int, Ge(2)] = 100
    batch_size: Annotated[int, Ge(2)] = 8

    version = 1
    scale = "log"
    label = "loss variance"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Draw batches and compute their losses, for each replicate."""
        if model.objective is None:
            return {}
        objective = copy.deepcopy(model.objective)  # as its chains may move
        data, own = streams.child("data"), streams.child("objective")
        batches = (dataset.sample(self.batch_size, data) for _ in range(self.batches))
        losses = [objective.loss_at(model.energy, x, own, model.progress).detach() for x in batches]
        return {"value": self.batch_size * torch.stack(losses).double().var(0)}
