"""Monte Carlo maximum likelihood, by importance sampling from a flow."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.classifier import BesideNoise
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class FlowImportance(BesideNoise):
    """Maximise the likelihood with log Z estimated by importance sampling.

    ``E_data E + log mean w`` with ``w = exp(−E)/q`` at samples of the noise ``q``, by default a
    flow that is fitted to the data. Its gradient is ``E_data ∇E − Σ w ∇E / Σ w``. The mean of its
    values is too low by half the variance of ``w/Z`` over the number of samples, approximately.

    Parameters
    ----------
    noise : str
        Registered name of the noise distribution ``q``; it is fitted to the data first.
    noise_settings : dict
        Settings of the noise distribution.
    ratio : int
        Noise samples for each data point.

    References
    ----------
    Geyer and Thompson, "Constrained Monte Carlo maximum likelihood for dependent data", 1992,
    doi:10.1111/j.2517-6161.1992.tb01443.x. Bengio and Senécal, "Adaptive importance sampling to
    accelerate training of a neural probabilistic language model", 2008,
    doi:10.1109/TNN.2007.912312, normalise the weights as here.
    """

    kind = "maximum likelihood"
    search = {"ratio": (1, 2, 5)}  # noqa: RUF012

    noise: str = "flow"
    ratio: Annotated[int, Ge(1)] = 1

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the samples."""
        return self.ratio * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Estimated negative log-likelihood of a batch (R, B, *event_shape), nats, shape (R,)."""
        count = self.ratio * x.shape[1]
        data, noise, log_q = self.evaluate(energy, x, count, streams)
        return data.mean(1) + torch.logsumexp(-noise - log_q, 1) - math.log(count)
