"""Classification of data against noise, with the energy in the logit."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebm_bench import noise
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.streams import Streams


class Normaliser(nn.Module):
    """The learned log-normaliser ``c`` of noise-contrastive estimation, one per replicate.

    Parametrised as ``c = start + d θ``: log Z grows with the dimension ``d``, so that one learning
    rate is suitable for two dimensions and for three thousand.
    """

    start: Tensor

    def __init__(self, replicates: int, event_shape: tuple[int, ...]):
        super().__init__()
        self.dimension = math.prod(event_shape)
        self.register_buffer("start", torch.zeros(replicates))
        self.theta = nn.Parameter(torch.zeros(replicates))

    @property
    def value(self) -> Tensor:
        """Current value in nats, shape (R,)."""
        return self.start + self.dimension * self.theta

    def fit(self, energies: Tensor, log_noise: Tensor) -> None:
        """Initialise at the importance-sampling estimate of log Z.

        Parameters
        ----------
        energies, log_noise : Tensor of shape (R, N)
            Energy and log-density of samples from the noise.
        """
        log_weights = -energies - log_noise
        self.start.copy_(torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1]))


@dataclass(eq=False, kw_only=True, repr=False)
class BesideNoise(Objective):
    """An objective that compares data with samples of a noise distribution.

    Parameters
    ----------
    noise_settings : dict
        Settings of the noise distribution.
    """

    noise_settings: dict[str, Any] | None = None

    def build(self, energy: Energy) -> None:
        """Create the noise distribution."""
        super().build(energy)
        self.noise: str
        self.distribution: Any = noise.create(
            self.noise,
            event_shape=energy.event_shape,
            replicates=energy.replicates,
            **(self.noise_settings or {}),
        )

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the noise to the data."""
        self.distribution.fit(data, streams)

    @torch.no_grad()
    def draw(self, x: Tensor, count: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """Sample the noise beside data.

        Parameters
        ----------
        x : Tensor of shape (R, B, *event_shape)
            Data.
        count : int
            N, number of samples.
        streams : Streams
            Source of randomness.

        Returns
        -------
        points : Tensor of shape (R, N, *event_shape)
        log_q : Tensor of shape (R, B + N)
            Log-density of the noise at data and samples.
        """
        points, log_noise = self.distribution.sample_with_log_prob(count, streams)
        return points, torch.cat([self.distribution.log_prob(x), log_noise], dim=1)


@dataclass(eq=False, kw_only=True, repr=False)
class NoiseClassifier(BesideNoise):
    """An objective that classifies data against samples of a noise distribution.

    Parameters
    ----------
    noise_settings : dict
        Settings of the noise distribution.
    """

    def build(self, energy: Energy) -> None:
        """Create the noise distribution and the learned log-normaliser."""
        super().build(energy)
        self.normaliser = Normaliser(energy.replicates, energy.event_shape)

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the noise to the data, and initialise ``c`` at an estimate of log Z."""
        super().fit(energy, data, streams)
        with torch.no_grad():
            points, log_noise = self.distribution.sample_with_log_prob(1000, streams)
            self.normaliser.fit(energy(points), log_noise)

    @property
    def log_z(self) -> Tensor:
        """Learned log-normaliser in nats, shape (R,)."""
        return self.normaliser.value

    def logits(
        self, energy: Energy, x: Tensor, points: Tensor, log_q: Tensor, ratio: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Log-odds ``G = −E − c − log q − log ν`` of being data, (R, B) and (R, N).

        Parameters
        ----------
        x, points : Tensor of shape (R, B, *event_shape), (R, N, *event_shape)
            Data, and samples of the noise.
        log_q : Tensor of shape (R, B + N)
            Log-density of the noise at both.
        ratio : float
            ν, the number of noise samples per data point.
        """
        offset = (self.log_z + math.log(ratio))[:, None]
        logit = -energy(torch.cat([x, points], dim=1)) - offset - log_q
        data, noise = logit.split([x.shape[1], points.shape[1]], dim=1)
        return data, noise

    def logistic_loss(
        self, energy: Energy, x: Tensor, points: Tensor, log_q: Tensor, ratio: float = 1.0
    ) -> Tensor:
        """Logistic loss of data against noise, shape (R,); parameters as for `logits`.

        ``−E_data log σ(G) − ν E_noise log σ(−G)``.
        """
        data, noise = self.logits(energy, x, points, log_q, ratio)
        return softplus(-data).mean(1) + ratio * softplus(noise).mean(1)
