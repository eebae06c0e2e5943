"""Self-normalised likelihood."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.classifier import NoiseClassifier
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class SelfNormalizedLikelihood(NoiseClassifier):
    """Minimise an upper bound of the negative log-likelihood, with log Z as a parameter.

    ``E_data E + c + E_noise exp(−E − c − log q) − 1``: at ``c = log Z`` it is the negative
    log-likelihood, elsewhere above it. Noise in whose tails the model has mass makes its variance
    large.

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
    Senetaire, Jeha, Mattei and Frellsen, "Learning energy-based models by self-normalising the
    likelihood", 2025, arXiv:2503.07021.
    """

    kind = "maximum likelihood"
    search = {"ratio": (1, 2, 5)}  # noqa: RUF012

    noise: str = "gaussian"
    ratio: Annotated[int, Ge(1)] = 1

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the samples."""
        return self.ratio * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Bound of a batch (R, B, *event_shape), in nats, shape (R,)."""
        with torch.no_grad():
            count = self.ratio * x.shape[1]
            points, log_q = self.distribution.sample_with_log_prob(count, streams)
        data, noise = energy(torch.cat([x, points], dim=1)).split([x.shape[1], count], dim=1)
        log_weights = -noise - self.log_z[:, None] - log_q
        return data.mean(1) + self.log_z + log_weights.exp().mean(1) - 1
