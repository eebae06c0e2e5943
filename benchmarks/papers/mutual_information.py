"""Mutual information of Gaussians, as Rhodes et al. 2020 estimate it by ratios of densities."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from ebm_bench.datasets.base import Vectors
from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import log_base
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average, energies
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class CorrelatedPairs(Vectors):
    """Standard normal coordinates, correlated in pairs.

    The mutual information of the first and the second halves of the pairs is
    ``−(d/4) log(1 − ρ²)`` nats.

    Parameters
    ----------
    dimension : int
        Number of coordinates d, twice that of pairs.
    correlation : float
        Correlation ρ of the two coordinates of a pair.
    """

    dimension: Annotated[int, Ge(2)] = 20
    correlation: Annotated[float, Gt(0), Lt(1)] = 0.8

    knows = ("log_prob", "score", "entropy")
    citation = "Rhodes, Xu and Gutmann 2020, Telescoping density-ratio estimation, arXiv:2006.12204"

    @property
    def information(self) -> float:
        """Mutual information in nats."""
        return -self.dimension / 4 * math.log1p(-(self.correlation**2))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d)."""
        first, other = streams.normal(2, n, self.dimension // 2).unbind(1)
        second = self.correlation * first + math.sqrt(1 - self.correlation**2) * other
        return torch.cat([first, second], 2)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        first, second = x.chunk(2, -1)
        other = (second - self.correlation * first) / math.sqrt(1 - self.correlation**2)
        squares = first.square().sum(-1) + other.square().sum(-1)
        return -0.5 * squares - 0.5 * self.dimension * math.log(2 * math.pi) + self.information

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        first, second = x.chunk(2, -1)
        pulls = first - self.correlation * second, second - self.correlation * first
        return -torch.cat(pulls, -1) / (1 - self.correlation**2)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return 0.5 * self.dimension * math.log(2 * math.pi * math.e) - self.information


@register
@dataclass(eq=False, kw_only=True, repr=False)
class QuadraticHeads(Energy):
    """Log-ratios of neighbouring levels, each a quadratic function of its own.

    ``E(x, k) = −log n_k(x) − Σ_{j≥k} (½ uᵀ W_j u + b_j)`` with ``u = (x − m)/s`` and the Gaussian
    n_k of independent coordinates that has the variances of level k. It starts at n_k; nothing
    keeps it normalisable.

    Parameters
    ----------
    heads : int
        Number of ratios: 1, or as many as a telescoping ratio has bridges.

    References
    ----------
    Rhodes, Xu and Gutmann, "Telescoping density-ratio estimation", NeurIPS 2020, arXiv:2006.12204.
    """

    levels = True

    heads: Annotated[int, Ge(1)] = 1

    def build(self, streams: Streams) -> None:
        """Start at independent coordinates."""
        size = math.prod(self.event_shape)
        self.weights = nn.Parameter(torch.zeros(self.replicates, self.heads, size, size))
        self.constants = nn.Parameter(torch.zeros(self.replicates, self.heads))

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return self._from_head(0, x, self.weights.sum(1), self.constants.sum(1))

    def smoothed(self, x: Tensor, share: Tensor, variance: Tensor) -> Tensor:
        """Energy of noised points, each at its level, shape (R, B).

        Parameters
        ----------
        x : Tensor of shape (R, B, *event_shape)
            Noised points.
        share, variance : Tensor
            As `ebm_bench.energies.levels.Path` gives them.
        """
        level = (1 - share.flatten(2)[:, :, 0]).expand(x.shape[:2])
        head = (self.heads * level).round().long().clamp_max(self.heads - 1)
        # Sums of the heads from each one on.
        weights, constants = (p.flip(1).cumsum(1).flip(1) for p in (self.weights, self.constants))
        total = x.new_zeros(x.shape[:2])
        for k in range(self.heads):
            places = (head == k).any(0).nonzero()[:, 0]
            energy = self._from_head(k, x[:, places], weights[:, k], constants[:, k])
            own = torch.where(head[:, places] == k, energy, 0.0)
            total = total.index_add(1, places, own)
        return total

    def _from_head(self, head: int, x: Tensor, weight: Tensor, constant: Tensor) -> Tensor:
        u = ((x - self.location) / self.scale).flatten(2)
        t = head / self.heads
        spread = math.hypot(1 - t, t)  # of the coordinates at this level, in units of the data
        base = 0.5 * u.square().sum(2) / spread**2
        volume = self.scale.log().flatten(1).sum(1, keepdim=True)
        volume = volume + u.shape[2] * math.log(spread * math.sqrt(2 * math.pi))
        ratio = 0.5 * (torch.bmm(u, weight) * u).sum(2) + constant[:, None]
        return base + volume - ratio


@register
@dataclass(eq=False, kw_only=True)
class MutualInformation(Metric):
    """Estimate of the information between coordinates: mean log-ratio of data and marginals.

    The average over data of ``−E(x) − c − log n(x)``, with the learned c and a Gaussian n that has
    the means and variances of the data. Higher is better as long as estimates are too low.

    Parameters
    ----------
    points : int
        Held-out points.
    """

    points: Annotated[int, Ge(2)] = 10_000

    requires = ("learned_log_z",)
    higher_is_better = True
    unit = "nats"
    label = "mutual information"

    @torch.no_grad()
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over each replicate's held-out data."""
        if model.learned_log_z is None:
            return {}
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        terms = -energies(model.energy, x) - log_base(model.energy, x)
        return average(terms - model.learned_log_z.to(terms)[:, None])
