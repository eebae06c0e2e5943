"""Noise-contrastive estimation."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor
from torch.nn.functional import softplus

from ebm_bench import noise
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.normaliser import Normaliser
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class NoiseContrastive(Objective):
    """Tell data from noise of a known density, with the energy inside the classifier.

    With ν noise samples for each data point and ``G(x) = −E(x) − c − log q(x) − log ν``, the
    loss is ``−E_data log σ(G) − ν E_noise log σ(−G)``; the learned ``c`` becomes log Z.

    Parameters
    ----------
    noise : str
        Registered name of the noise distribution ``q``; it is fitted to the data first.
    noise_settings : dict
        Of the noise distribution.
    ratio : float
        ν. The number of noise samples in a batch is rounded to a whole one.

    References
    ----------
    Gutmann and Hyvärinen, "Noise-contrastive estimation of unnormalized statistical models,
    with applications to natural image statistics", JMLR 2012.
    """

    kind = "noise contrastive"
    search = {"ratio": (0.5, 1.0, 2.0, 5.0)}  # noqa: RUF012

    noise: str = "gaussian"
    noise_settings: dict[str, Any] | None = None
    ratio: Annotated[float, Gt(0)] = 1.0

    def build(self, energy: Energy) -> None:
        """Create the noise distribution and the learned normaliser."""
        super().build(energy)
        shapes = {"event_shape": energy.event_shape, "replicates": energy.replicates}
        self.distribution = noise.create(self.noise, **shapes, **(self.noise_settings or {}))
        self.normaliser = Normaliser(energy.replicates, energy.event_shape)

    @torch.no_grad()
    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the noise to the data, and start ``c`` at an estimate of log Z."""
        with torch.enable_grad():
            self.distribution.fit(data, streams)
        points, log_noise = self.distribution.sample_with_log_prob(1000, streams)
        self.normaliser.fit(energy(points), log_noise)

    @property
    def log_z(self) -> Tensor:
        """The log-normaliser that was learned, shape (R,)."""
        return self.normaliser.value

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        count = x.shape[1]
        with torch.no_grad():
            size = max(1, round(self.ratio * count))
            points, log_noise = self.distribution.sample_with_log_prob(size, streams)
            log_noise = torch.cat([self.distribution.log_prob(x), log_noise], dim=1)
        # log ν of the sizes that were drawn, so that the loss is right after rounding.
        ratio = size / count
        logit = (
            -energy(torch.cat([x, points], dim=1))
            - self.log_z[:, None]
            - log_noise
            - math.log(ratio)
        )
        data_term = softplus(-logit[:, :count]).mean(1)
        return data_term + ratio * softplus(logit[:, count:]).mean(1)
