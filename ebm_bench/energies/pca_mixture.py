"""A fitted mixture of principal component analyses as an energy."""

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ebm_bench.energies.base import Density
from ebm_bench.nn import pca_mixture
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class PcaMixture(Density):
    """Mixture of probabilistic principal component analyses, ``E(x) = −log q(x)``.

    Fitted in closed form to clusters of the data, and not trained: a control that says what a
    density of many dimensions is worth that needs no network. Annealing starts at a density of this
    kind where the truth is not known, so that what a model gains over it is what training found.

    Parameters
    ----------
    components : int
        Number of clusters.
    rank : int
        Most principal directions of each; fewer where there are few points.

    References
    ----------
    Tipping and Bishop, "Mixtures of probabilistic principal component analyzers", 1999,
    doi:10.1162/089976699300016728.
    """

    learns = True

    components: Annotated[int, Ge(1)] = 10
    rank: Annotated[int, Ge(0)] = 32

    def build(self, streams: Streams) -> None:
        """Start at the standard normal density."""
        self.members = nn.ModuleList(
            pca_mixture.PcaMixture(self.event_shape, self.components, self.rank)
            for _ in range(self.replicates)
        )

    @property
    def _mixtures(self) -> list[pca_mixture.PcaMixture]:
        return [cast(pca_mixture.PcaMixture, member) for member in self.members]

    @torch.no_grad()
    def fit(self, data: Tensor) -> None:
        """Fit each replicate to its data, (R, N, *event_shape)."""
        super().fit(data)
        for member, own in zip(self._mixtures, data, strict=True):
            member.fit(own)

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        pairs = zip(self._mixtures, x.split(1), strict=True)
        return -torch.cat([member.log_prob(own) for member, own in pairs])

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw exact samples, shape (R, n, *event_shape)."""
        drawn = zip(*(part.split(1) for part in self._mixtures[0].draw(n, streams)), strict=True)
        pairs = zip(self._mixtures, drawn, strict=True)
        return torch.cat([member.place(*own) for member, own in pairs])
