"""Noise-contrastive estimation."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.classifier import NoiseClassifier
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class NoiseContrastive(NoiseClassifier):
    """Classify data against noise of a known density, with the energy in the logit.

    With ν noise samples per data point and ``G(x) = −E(x) − c − log q(x) − log ν``, the
    loss is ``−E_data log σ(G) − ν E_noise log σ(−G)``; the learned ``c`` estimates log Z.

    Parameters
    ----------
    noise : str
        Registered name of the noise distribution ``q``; it is fitted to the data first.
    noise_settings : dict
        Settings of the noise distribution.
    ratio : float
        ν, noise samples per data point. Their number in a batch is rounded to an integer.

    References
    ----------
    Gutmann and Hyvärinen, "Noise-contrastive estimation of unnormalized statistical models,
    with applications to natural image statistics", JMLR 2012,
    https://jmlr.org/papers/v13/gutmann12a.html.
    """

    kind = "noise contrastive"
    search = {"ratio": (1.0, 2.0, 5.0)}  # noqa: RUF012

    noise: str = "gaussian"
    ratio: Annotated[float, Gt(0)] = 1.0

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the data and the samples."""
        return batch_size + self._samples(batch_size)

    def _samples(self, batch_size: int) -> int:
        return max(1, round(self.ratio * batch_size))

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        count = x.shape[1]
        size = self._samples(count)
        points, log_q = self.draw(x, size, streams)
        # The ratio of the sizes that were drawn, so that the loss is right after rounding.
        return self.logistic_loss(energy, x, points, log_q, size / count)
