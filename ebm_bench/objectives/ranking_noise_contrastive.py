"""Ranking noise-contrastive estimation."""

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
class RankingNoiseContrastive(BesideNoise):
    """Find each data point among samples of the noise, without a normaliser.

    ``−E log( w(x) / (w(x) + Σ_k w(y_k)) )`` with ``w = exp(−E)/q`` and K samples ``y_k ~ q`` for
    each data point ``x``. It is 0 where the point is always found, and ``log(K + 1)`` where noise
    and model are the data.

    Parameters
    ----------
    noise : str
        Registered name of the noise distribution ``q``; it is fitted to the data first.
    noise_settings : dict
        Settings of the noise distribution.
    ratio : int
        K, noise samples for each data point.

    References
    ----------
    Jozefowicz, Vinyals, Schuster, Shazeer and Wu, "Exploring the limits of language modeling",
    2016, arXiv:1602.02410. Ma and Collins, "Noise contrastive estimation and negative sampling for
    conditional models: consistency and statistical efficiency", EMNLP 2018, arXiv:1809.01812.
    """

    kind = "noise contrastive"
    search = {"ratio": (1, 2, 5)}  # noqa: RUF012

    noise: str = "gaussian"
    ratio: Annotated[int, Ge(1)] = 5

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the data and the samples."""
        return (1 + self.ratio) * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Ranking loss of a batch (R, B, *event_shape), shape (R,)."""
        points, log_q = self.draw(x, self.ratio * x.shape[1], streams)
        log_w = -energy(torch.cat([x, points], dim=1)) - log_q
        # A row for the data, and one for each of the K samples that they stand among.
        found = torch.log_softmax(log_w.unflatten(1, (1 + self.ratio, -1)), 1)
        return -found[:, 0].mean(1)
