"""A density that is fitted to data in closed form, once they are in clusters."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from ebm_bench.streams import Streams

# Points for each direction of a component, and the least variance in units of the data's.
_PER_DIRECTION, _LEAST = 4, 1e-4


class PcaMixture(nn.Module):
    """A mixture of probabilistic principal component analyses, of clusters of the data.

    Clusters are those of k-means. Each has its mean, the variances along its leading principal
    directions, and one variance along all others, in units of the data's standard deviations: with
    a single component and as many directions as dimensions but one, it is the fitted Gaussian.

    Parameters
    ----------
    event_shape : tuple of int
        Shape of a point.
    components : int
        Number of clusters.
    rank : int
        Most principal directions of each; fewer where there are few points.

    References
    ----------
    Tipping and Bishop, "Mixtures of probabilistic principal component analyzers", 1999,
    doi:10.1162/089976699300016728.
    """

    def __init__(self, event_shape: tuple[int, ...], components: int, rank: int):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.size = math.prod(self.event_shape)
        self.rank = min(rank, self.size - 1)
        self.location: Tensor
        self.scale: Tensor
        self.weights: Tensor
        self.means: Tensor
        self.directions: Tensor
        self.variances: Tensor
        self.noise: Tensor
        self.register_buffer("location", torch.zeros(self.size))
        self.register_buffer("scale", torch.ones(self.size))
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, self.size))
        # All side by side, so that one product finds the coordinates along all of them.
        self.register_buffer("directions", torch.zeros(self.size, components * self.rank))
        self.register_buffer("variances", torch.ones(components, self.rank))
        self.register_buffer("noise", torch.ones(components))

    def fit(self, data: Tensor) -> "PcaMixture":
        """Fit to points of shape (N, *event_shape); returns the mixture itself."""
        flat = data.flatten(1)
        scale, self.location = torch.std_mean(flat, 0, correction=0)
        self.scale = scale.clamp_min(1e-6)
        z = ((flat - self.location) / self.scale).double().cpu().numpy()
        components = len(self.weights)
        labels = _clusters(z, components)
        fits = [_fit(z[labels == k], self.rank) for k in range(components)]
        parts = (np.stack(part) for part in zip(*fits, strict=True))
        counts, self.means, directions, self.variances, self.noise = (
            torch.from_numpy(part).to(flat) for part in parts
        )
        self.directions = directions.permute(1, 0, 2).flatten(1)
        self.weights = counts / counts.sum()
        return self

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        return self.place(*self.draw(n, streams))

    def draw(self, n: int, streams: Streams) -> tuple[Tensor, Tensor, Tensor]:
        """Draw what `place` takes, each with (R, n) in front."""
        return streams.normal(n, self.size), streams.normal(n, self.rank), streams.uniform(n)

    def place(self, z: Tensor, hidden: Tensor, share: Tensor) -> Tensor:
        """Turn normal and uniform numbers into points (R, n, *event_shape)."""
        chosen = torch.bucketize(share, self.weights.cumsum(0)[:-1], right=True)
        z = z * self.noise.sqrt()[chosen][..., None] + self.means[chosen]
        spread = (self.variances - self.noise[:, None]).clamp_min(0).sqrt()
        for k, directions in enumerate(self.directions.split(self.rank, 1) if self.rank else ()):
            mine = chosen == k
            z[mine] += (hidden[mine] * spread[k]) @ directions.T
        return (self.location + self.scale * z).view(*share.shape, *self.event_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, n, *event_shape), shape (R, n)."""
        z = (x.flatten(2) - self.location.to(x)) / self.scale.to(x)
        means, directions = self.means.to(x), self.directions.to(x)
        variances, noise = self.variances.to(x), self.noise.to(x)
        offset = (means @ directions).unflatten(1, variances.shape).diagonal(dim1=0, dim2=1).T
        along = ((z @ directions).unflatten(2, variances.shape) - offset).square()
        squares = z.square().sum(2, keepdim=True) - 2 * z @ means.T + means.square().sum(1)
        rest = (squares - along.sum(3)) / noise
        return (self._constants.to(x) - 0.5 * (rest + (along / variances).sum(3))).logsumexp(2)

    @property
    def _constants(self) -> Tensor:
        """Logarithms of what each component adds at its mean, (K,)."""
        log_det = self.variances.log().sum(1) + (self.size - self.rank) * self.noise.log()
        log_det = log_det + self.size * math.log(2 * math.pi) + 2 * self.scale.log().sum()
        return self.weights.log() - 0.5 * log_det


def _clusters(z: np.ndarray, components: int) -> np.ndarray:
    if components == 1:
        return np.zeros(len(z), dtype=int)
    from sklearn.cluster import KMeans  # takes seconds

    labels: np.ndarray = KMeans(components, n_init=1, max_iter=30, random_state=0).fit_predict(z)
    return labels


def _fit(z: np.ndarray, rank: int) -> tuple[np.ndarray, ...]:
    """Count, mean, directions (D, rank), variances (rank,) and the noise variance of a cluster."""
    count, size = z.shape
    directions, variances = np.zeros((size, rank)), np.zeros(rank)
    if not count:  # of weight 0
        return np.array(0.0), np.zeros(size), directions, variances + 1, np.array(1.0)
    mean = z.mean(0)
    total = z.var(0).sum()
    own = min(rank, count // _PER_DIRECTION)
    if own:
        from sklearn.decomposition import PCA

        found = PCA(own, random_state=0).fit(z)
        directions[:, :own] = found.components_.T
        variances[:own] = found.explained_variance_ * (count - 1) / count
    noise = max((total - variances.sum()) / (size - own), _LEAST)
    variances[own:] = noise
    return np.array(float(count)), mean, directions, variances.clip(noise), np.array(noise)
