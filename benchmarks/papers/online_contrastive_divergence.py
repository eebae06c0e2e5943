"""Contrastive divergence as Glaser et al. 2025 analyse it: one pass over the data, averaged."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class OnlineContrastiveDivergence(Objective):
    """Gradient descent with decaying steps that uses each data point once.

    In step t the parameters move by ``rate t^(−decay)`` along the difference between the mean
    gradients of the energy at chains and at the data where these started. The estimate is the
    average of the parameters over all steps.

    Parameters
    ----------
    batch_size : int
        Data points of a step.
    steps : int
        Langevin steps of each chain, accepted by the rule of Metropolis and Hastings.
    step_size : float
        Step size of Langevin dynamics, in units of the energy's scale.
    rate, decay : float
        Length of the first step, and how fast the others fall.

    References
    ----------
    Glaser, Huang and Gretton, "Near-optimality of contrastive divergence algorithms", NeurIPS 2025,
    arXiv:2510.13438.
    """

    trains = False
    kind = "contrastive divergence"

    batch_size: Annotated[int, Ge(1)] = 10
    steps: Annotated[int, Ge(1)] = 5
    step_size: Annotated[float, Gt(0)] = 0.7
    rate: Annotated[float, Gt(0)] = 1.0
    decay: Annotated[float, Gt(0), Le(1)] = 0.5

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Pass over the data (R, N, *event_shape) once."""
        sampler = Langevin(steps=self.steps, step_size=self.step_size, adjusted=True)
        parameters = list(energy.parameters())
        averages = [torch.zeros_like(each) for each in parameters]
        for step, x in enumerate(data.split(self.batch_size, 1), 1):
            points = sampler.run(energy, x, streams)
            loss = energy(x).mean(1) - energy(points).mean(1)
            slopes = torch.autograd.grad(loss.sum(), parameters)
            with torch.no_grad():
                for each, average, slope in zip(parameters, averages, slopes, strict=True):
                    each -= self.rate * step**-self.decay * slope
                    average += (each - average) / step
        with torch.no_grad():
            for each, average in zip(parameters, averages, strict=True):
                each.copy_(average)

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Mean energy in nats of a batch, shape (R,), for diagnostics."""
        return energy(x).mean(1)


@register
@dataclass(eq=False, kw_only=True, repr=False)
class SampleMean(Objective):
    """Maximum likelihood for an energy whose only parameter is the ``mean`` of a Gaussian."""

    trains = False
    kind = "maximum likelihood"

    @torch.no_grad()
    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Take the mean of the data (R, N, *event_shape)."""
        mean: Tensor = energy.mean  # type: ignore[assignment]
        mean.copy_(data.double().mean(1, keepdim=True))

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Mean energy in nats of a batch, shape (R,), for diagnostics."""
        return energy(x).mean(1)
