"""Densities from which annealing starts: the truth, or the best that is fitted to the data."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ebm_bench.samplers.annealing_path import Proposal
from ebm_bench.streams import Streams

# Components and principal directions of each: a Gaussian, and a mixture that costs as much.
_CANDIDATES = ((1, 320), (10, 32))
# Points that they are fitted to, and that choose among them.
_POINTS, _HELD_OUT = 5_000, 1_000
# Points for each direction of a component, and the least variance in units of the data's.
_PER_DIRECTION, _LEAST = 4, 1e-4


class PcaMixture:
    """A mixture of probabilistic principal component analyses, of clusters of the data.

    Clusters are those of k-means. Each has its mean, the variances along its leading principal
    directions, and one variance along all others, in units of the data's standard deviations: with
    a single component and as many directions as dimensions but one, it is the fitted Gaussian.

    Parameters
    ----------
    data : Tensor of shape (N, *event_shape)
        Training data.
    components : int
        Number of clusters.
    rank : int
        Most principal directions of each; fewer where there are few points.

    References
    ----------
    Tipping and Bishop, "Mixtures of probabilistic principal component analyzers", 1999,
    doi:10.1162/089976699300016728.
    """

    def __init__(self, data: Tensor, components: int, rank: int):
        flat = data.flatten(1)
        scale, self.location = torch.std_mean(flat, 0, correction=0)
        self.scale = scale.clamp_min(1e-6)
        self.event_shape = data.shape[1:]
        z = ((flat - self.location) / self.scale).double().cpu().numpy()
        labels = _clusters(z, components)
        size = z.shape[1]
        rank = min(rank, size - 1, len(z))
        fits = [_fit(z[labels == k], rank) for k in np.unique(labels)]
        parts = (np.stack(part) for part in zip(*fits, strict=True))
        counts, self.means, directions, self.variances, self.noise = (
            torch.from_numpy(part).to(flat) for part in parts
        )
        # All side by side, so that one product finds the coordinates along all of them.
        self.directions = directions.permute(1, 0, 2).flatten(1)
        self.weights = counts / counts.sum()
        log_det = self.variances.log().sum(1) + (size - rank) * self.noise.log()
        log_det = log_det + size * math.log(2 * math.pi) + 2 * self.scale.log().sum()
        self.constants = self.weights.log() - 0.5 * log_det

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        rank = self.variances.shape[1]
        z, hidden = streams.normal(n, len(self.location)), streams.normal(n, rank)
        chosen = torch.bucketize(streams.uniform(n), self.weights.cumsum(0)[:-1], right=True)
        z = z * self.noise.sqrt()[chosen][..., None] + self.means[chosen]
        spread = (self.variances - self.noise[:, None]).clamp_min(0).sqrt()
        for k, directions in enumerate(self.directions.split(rank, 1) if rank else ()):
            mine = chosen == k
            z[mine] += (hidden[mine] * spread[k]) @ directions.T
        return (self.location + self.scale * z).view(len(z), n, *self.event_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, n, *event_shape), shape (R, n)."""
        z = (x.flatten(2) - self.location.to(x)) / self.scale.to(x)
        means, directions = self.means.to(x), self.directions.to(x)
        variances, noise = self.variances.to(x), self.noise.to(x)
        offset = (means @ directions).unflatten(1, variances.shape).diagonal(dim1=0, dim2=1).T
        along = ((z @ directions).unflatten(2, variances.shape) - offset).square()
        squares = z.square().sum(2, keepdim=True) - 2 * z @ means.T + means.square().sum(1)
        rest = (squares - along.sum(3)) / noise
        return (self.constants.to(x) - 0.5 * (rest + (along / variances).sum(3))).logsumexp(2)


def proposal_for(dataset, device: torch.device) -> Proposal:
    """Find the density from which to start on a dataset: its own, or the best that is fitted.

    Fitted are a Gaussian and a mixture, and the better one is chosen by the likelihood of
    validation data. The same for all models of a dataset.
    """
    return dataset if "log_prob" in dataset.knows else _fitted(dataset, device)


@lru_cache(4)
def _fitted(dataset, device: torch.device) -> PcaMixture:
    streams = Streams(0, 1, device, ("proposal",))
    data = dataset.sample(_POINTS, streams.child("train"), split="train")[0]
    held_out = dataset.sample(_HELD_OUT, streams.child("validation"), split="validation")
    found = [PcaMixture(data, *candidate) for candidate in _CANDIDATES]
    return max(found, key=lambda one: one.log_prob(held_out).double().mean().item())


def _clusters(z: np.ndarray, components: int) -> np.ndarray:
    if components == 1:
        return np.zeros(len(z), dtype=int)
    from sklearn.cluster import KMeans  # takes seconds

    labels: np.ndarray = KMeans(components, n_init=1, max_iter=30, random_state=0).fit_predict(z)
    return labels


def _fit(z: np.ndarray, rank: int) -> tuple[np.ndarray, ...]:
    """Count, mean, directions (D, rank), variances (rank,) and the noise variance of a cluster."""
    count, size = z.shape
    mean = z.mean(0)
    total = z.var(0).sum()
    own = min(rank, count // _PER_DIRECTION)
    directions, variances = np.zeros((size, rank)), np.zeros(rank)
    if own:
        from sklearn.decomposition import PCA

        found = PCA(own, random_state=0).fit(z)
        directions[:, :own] = found.components_.T
        variances[:own] = found.explained_variance_ * (count - 1) / count
    noise = max((total - variances.sum()) / (size - own), _LEAST)
    variances[own:] = noise
    return np.array(float(count)), mean, directions, variances.clip(noise), np.array(noise)
