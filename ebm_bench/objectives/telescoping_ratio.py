"""Telescoping density-ratio estimation."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import softplus

from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import log_base, stratified
from ebm_bench.objectives.noise_levels import ToKnownEnd
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class TelescopingRatio(ToKnownEnd):
    """Classify each noise level against the next: the product of near ratios is the far one.

    The mean over k of ``−E_k log σ(G_k) − E_{k+1} log σ(−G_k)``, where levels run from the data, 0,
    to a Gaussian with their means and variances, and ``G_k(x) = E(x, t_{k+1}) − E(x, t_k)`` is
    the log-ratio of neighbours. The density of the last level is known and stands for
    ``exp(−E − c)``: the G_k add up to ``−E(x) − c − log n(x)``, and the learned c estimates log Z.
    Both points of a pair have the same data point and noise.

    Parameters
    ----------
    bridges : int
        Number of ratios.

    References
    ----------
    Rhodes, Xu and Gutmann, "Telescoping density-ratio estimation", NeurIPS 2020, arXiv:2006.12204.
    They have a head of the network for each ratio, where differences of one energy are taken here,
    and ``√(1 − α²) x + α ε`` between data and noise, where it is linear here.
    """

    requires = ("levels",)
    search = {"bridges": (2, 4, 8)}  # noqa: RUF012

    bridges: Annotated[int, Ge(1)] = 4

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        bridge, noise = (stratified(x, streams) * self.bridges).floor(), streams.normal_like(x)
        near, far = bridge / self.bridges, (bridge + 1) / self.bridges
        pairs = [self.embedding.noised(energy, x, t, noise) for t in (near, far)]
        points, last = torch.cat(pairs, 1), (bridge == self.bridges - 1).repeat(1, 2)
        t = torch.cat([near, near, far, far], 1)
        lower, upper = self.embedding.at(energy, t)(torch.cat([points, points], 1)).chunk(2, 1)
        known = -log_base(energy, points) - self.log_z[:, None]
        data, beyond = (torch.where(last, known, upper) - lower).chunk(2, 1)
        return (softplus(-data) + softplus(beyond)).mean(1)
