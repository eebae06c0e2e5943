"""Signal-to-noise ratio of the training gradient."""

import copy
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class GradientSignalToNoise(Metric):
    """Norm of the mean gradient of the loss over its standard deviation, for one batch.

    Over all parameters of the energy, ``‖E g‖ / √(tr Cov g)``. The square of the numerator is
    corrected for the noise of the average, and set to zero where it is negative, as near an
    optimum. No value for by-products; NaN without parameters.

    Parameters
    ----------
    batches : int
        Number of batches.
    batch_size : int
        Points per batch.
    """

    batches: Annotated[int, Ge(2)] = 100
    batch_size: Annotated[int, Ge(2)] = 256

    version = 1
    higher_is_better = True
    label = "gradient signal-to-noise"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Draw batches and differentiate their losses, for each replicate."""
        if model.objective is None:
            return {}
        data, own = streams.child("data"), streams.child("objective")
        parameters = list(model.energy.parameters())
        if not parameters:
            return {"value": torch.full((streams.replicates,), torch.nan)}
        # A copy, as its chains may move; the weights may be frozen during evaluation.
        objective = copy.deepcopy(model.objective)
        trained = [parameter.requires_grad for parameter in parameters]
        model.energy.requires_grad_(True)
        batches: list[list[Tensor]] = [[] for _ in range(streams.replicates)]
        for _ in range(self.batches):
            x = dataset.sample(self.batch_size, data)
            loss = objective.loss_at(model.energy, x, own, model.progress)
            found = torch.autograd.grad(
                loss.sum(), parameters, allow_unused=True, materialize_grads=True
            )
            for r, rows in enumerate(batches):
                rows.append(_of_replicate(r, parameters, found))
        for parameter, was in zip(parameters, trained, strict=True):
            parameter.requires_grad_(was)
        gradients = torch.stack([torch.stack(rows) for rows in batches])
        noise = gradients.var(1).sum(1)
        signal = gradients.mean(1).square().sum(1) - noise / self.batches
        return {"value": (signal.clamp_min(0) / noise).sqrt()}


def _of_replicate(r: int, parameters: list[nn.Parameter], gradients: tuple[Tensor, ...]) -> Tensor:
    """Join the gradients of one replicate; a parameter is its own, or has a row for each."""
    owners = [getattr(parameter, "replicate", None) for parameter in parameters]
    parts = [
        (gradient[r] if owner is None else gradient).flatten()
        for owner, gradient in zip(owners, gradients, strict=True)
        if owner in (None, r)
    ]
    return torch.cat(parts).double()
