"""Densities that are known exactly, in as many dimensions as images have."""

import math
import zipfile
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from scipy.sparse.linalg import eigsh
from torch import Tensor

from ebm_bench.datasets import cached
from ebm_bench.datasets.base import Dataset
from ebm_bench.errors import InputError
from ebm_bench.registry import register
from ebm_bench.streams import Streams
from ebm_bench.utils.files import replacing

_CLASSES = 10
# Points of which the posterior of the classes enters the entropy.
_POINTS = 2_000
# Numbers that are held at once.
_CHUNK = 2**21


class Fit(NamedTuple):
    """What the classes of a set of images are described by, in float64.

    Attributes
    ----------
    weights : ndarray of shape (K,)
        Frequencies of the classes.
    means : ndarray of shape (K, D)
        Mean of each class.
    directions : ndarray of shape (K, D, q)
        Orthonormal principal directions of each class.
    variances : ndarray of shape (K, q)
        Variances along them.
    noise : ndarray of shape (K,)
        Mean variance along all other directions.
    """

    weights: np.ndarray
    means: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    noise: np.ndarray


@dataclass(eq=False, kw_only=True)
class _ImageMixture(Dataset):
    """A mixture of one probabilistic PCA for each class of a set of images.

    Fitted in closed form to all training images, dequantised: pixels ``(k + u) / 256`` with u
    uniform on [0, 1). Each class has its mean, its leading principal directions, and one variance
    for all other directions. Samples resemble the images, and the density is exact.

    Parameters
    ----------
    rank : int
        Number of principal directions of each class.
    noise : float
        Factor on the standard deviation along all other directions.
    """

    rank: Annotated[int, Ge(1), Le(128)] = 32
    noise: Annotated[float, Gt(0)] = 1.0

    kind = "image"
    knows = ("log_prob", "score", "entropy", "modes")
    citation = (
        "Tipping and Bishop 1999, Mixtures of probabilistic principal component analyzers, "
        "doi:10.1162/089976699300016728"
    )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image of the data: (C, H, W)."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Pixels to a side, a setting."""

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (C, H, W)."""
        return (self.shape[0], self.side, self.side)

    @cached_property
    def fit(self) -> Fit:
        """Description of the classes, kept in the folder of the prepared data."""
        name = f"{self.name}_v{self.version}_{self.event_shape[-1]}_{self.rank}.npz"
        path = cached.folder() / name
        # A file that is missing or damaged is written anew.
        unreadable = OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile
        with suppress(*unreadable), np.load(path) as arrays:
            return Fit(*(arrays[field] for field in Fit._fields))
        found = self._fit()
        # Where it cannot be kept, it is computed again.
        with suppress(InputError), replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **found._asdict())
        return found

    def _fit(self) -> Fit:
        images = cached.load(self.downloads, "train_images").reshape(-1, *self.shape)
        labels = cached.load(self.downloads, "train_labels")
        side = self.event_shape[-1]
        block = self.shape[-1] // side
        rows = []
        for label in range(_CLASSES):
            chosen = images[labels == label].astype(np.float64)
            pixels = chosen.reshape(len(chosen), self.shape[0], side, block, side, block)
            flat = (pixels.mean((3, 5)).reshape(len(chosen), -1) + 0.5) / 256
            mean = flat.mean(0)
            flat -= mean
            covariance = flat.T @ flat / len(flat)
            size = len(covariance)
            # The same start everywhere, so that the same numbers come out to rounding.
            variances, directions = eigsh(covariance, self.rank, v0=np.ones(size))
            largest = np.abs(directions).argmax(0)
            directions = directions * np.sign(directions[largest, range(self.rank)])
            rest = (covariance.trace() - variances.sum()) / (size - self.rank)
            dequantised = 1 / (12 * 256**2 * block**2)
            rows.append((mean, directions, variances + dequantised, rest + dequantised))
        means, directions, variances, noise = map(np.stack, zip(*rows, strict=True))
        return Fit(np.bincount(labels) / len(labels), means, directions, variances, noise)

    @cached_property
    def _classes(self) -> tuple[Tensor, ...]:
        """Log-weights, means, directions, variances along them and noise variances."""
        weights, means, directions, variances, noise = map(torch.from_numpy, self.fit)
        tempered = noise * self.noise**2
        return weights.log(), means, directions, variances + (tempered - noise)[:, None], tempered

    @property
    def modes(self) -> Tensor:
        """Means of the classes in float64, shape (K, C, H, W)."""
        return self._classes[1].view(-1, *self.event_shape)

    @property
    def mode_weights(self) -> Tensor:
        """Frequencies of the classes in float64, shape (K,)."""
        return self._classes[0].exp()

    def mode_of(self, x: Tensor) -> Tensor:
        """Assign points (..., C, H, W) to their most probable classes, shape (...)."""
        return torch.cat([terms.argmax(1) for _, terms in self._chunks(x)]).view(self._lead(x))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw images of shape (R, n, C, H, W)."""
        x = streams.normal(n, *self.event_shape)
        hidden, share = streams.normal(n, self.rank), streams.uniform(n)
        log_weights, means, directions, variances, noise = (v.to(x) for v in self._classes)
        chosen = torch.bucketize(share, log_weights.exp().cumsum(0)[:-1], right=True)
        flat = x.flatten(2) * noise.sqrt()[chosen][..., None] + means[chosen]
        for k in range(_CLASSES):
            mine = chosen == k
            spread = (variances[k] - noise[k]).sqrt()
            flat[mine] += (hidden[mine] * spread) @ directions[k].T
        return flat.view(x.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., C, H, W), shape (...)."""
        values = [terms.logsumexp(1) for _, terms in self._chunks(x)]
        return torch.cat(values).view(self._lead(x))

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        _, means, directions, variances, noise = (v.to(x) for v in self._classes)
        scores = []
        for points, terms in self._chunks(x):
            score = torch.zeros_like(points)
            for k, share in enumerate(terms.softmax(1).unbind(1)):
                centred = points - means[k]
                along = centred @ directions[k]
                pull = along * (1 / variances[k] - 1 / noise[k])
                score -= share[:, None] * (centred / noise[k] + pull @ directions[k].T)
            scores.append(score)
        return torch.cat(scores).view(x.shape)

    def entropy(self) -> float:
        """Differential entropy in nats; see `entropy_and_error`."""
        return self.entropy_and_error[0]

    @cached_property
    def entropy_and_error(self) -> tuple[float, float]:
        """Differential entropy in nats, and its standard error.

        That of the classes and that within each are exact. Averaged over 2,000 samples is what a
        sample leaves open about its class: next to nothing, where classes hardly overlap.
        """
        log_weights, means, _, variances, noise = self._classes
        size, weights = means.shape[1], log_weights.exp()
        log_det = variances.log().sum(1) + (size - self.rank) * noise.log()
        within = 0.5 * (size * math.log(2 * math.pi * math.e) + log_det)
        x = self.sample(_POINTS, Streams(0, scope=("entropy",)))[0].double()
        posterior = torch.cat([terms.log_softmax(1) for _, terms in self._chunks(x)])
        left = -(posterior.exp() * posterior).sum(1)
        entropy = (weights * (within - log_weights)).sum() - left.mean()
        return entropy.item(), left.std().item() / math.sqrt(_POINTS)

    def to_pixels(self, y: Tensor) -> Tensor:
        """Clip points to pixels in [0, 1]. Shape of ``y``."""
        return y.clamp(0, 1)

    def _lead(self, x: Tensor) -> tuple[int, ...]:
        return x.shape[: x.ndim - 3]

    def _chunks(self, x: Tensor):
        """Yield points (n, D) and the log of what each class adds there, (n, K)."""
        log_weights, means, directions, variances, noise = (v.to(x) for v in self._classes)
        size = means.shape[1]
        log_det = variances.log().sum(1) + (size - self.rank) * noise.log()
        constants = log_weights - 0.5 * (size * math.log(2 * math.pi) + log_det)
        for points in x.reshape(-1, size).split(max(1, _CHUNK // size)):
            terms = []
            for k in range(_CLASSES):
                centred = points - means[k]
                along = centred @ directions[k]
                # Not as a difference of squares, which would cancel.
                rest = torch.addmm(centred, along, directions[k].T, alpha=-1)
                squares = (along.square() / variances[k]).sum(1) + rest.square().sum(1) / noise[k]
                terms.append(constants[k] - 0.5 * squares)
            yield points, torch.stack(terms, 1)


@register
@dataclass(eq=False, kw_only=True)
class MnistMixture(_ImageMixture):
    """Images like handwritten digits, of exactly known density: one PCA for each digit.

    Parameters
    ----------
    side : int
        Pixels to a side; 14 averages blocks of pixels.
    """

    side: Literal[28, 14] = 28

    downloads = "mnist"
    licence = "CC BY-SA 3.0"
    shape = (1, 28, 28)


@register
@dataclass(eq=False, kw_only=True)
class Cifar10Mixture(_ImageMixture):
    """Images like small photographs, of exactly known density: one PCA for each class.

    Parameters
    ----------
    side : int
        Pixels to a side; 16 and 8 average blocks of pixels.
    """

    side: Literal[32, 16, 8] = 32

    downloads = "cifar10"
    licence = "none stated"
    shape = (3, 32, 32)
