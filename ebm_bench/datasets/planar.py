"""Base classes of densities in the plane: entropy on a grid, sums of isotropic Gaussians."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from ebm_bench.datasets.base import Vectors

# Points times Gaussians that are held at once: 1 MB in float32, to stay in the cache.
_CHUNK = 2**18
# Cells to each side of the grid of the entropy.
_GRID = 256


@dataclass(eq=False, kw_only=True)
class Planar(Vectors):
    """A density in the plane.

    Attributes
    ----------
    box : tuple of two (float, float)
        Lower and upper bound of each coordinate; about 1e-6 of the mass is outside.
    """

    knows: ClassVar[tuple[str, ...]] = ("log_prob", "grid", "score", "entropy")
    dimension = 2
    box = ((-4.0, 4.0), (-4.0, 4.0))

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...)."""

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``; differentiated by autograd."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(point).sum(), point)[0]

    def entropy(self) -> float:
        """Differential entropy in nats, by the midpoint rule over `box`."""
        return self._entropy

    @cached_property
    def _entropy(self) -> float:
        # The midpoint rule is exact to rounding for a smooth density that vanishes at the edge.
        steps = (torch.arange(_GRID, dtype=torch.float64) + 0.5) / _GRID
        axes = [low + (high - low) * steps for low, high in self.box]
        log_p = self.log_prob(torch.cartesian_prod(*axes))
        # Weighted by the mass of each cell; what is outside the box counts like the rest.
        return -(torch.softmax(log_p, 0) @ log_p).item()


@dataclass(eq=False, kw_only=True)
class GaussianSum(Planar):
    """A weighted sum of isotropic Gaussians of one width, in the plane by default.

    Attributes
    ----------
    sd : float
        Standard deviation of every Gaussian.
    """

    sd = 1.0

    @property
    @abstractmethod
    def centres(self) -> Tensor:
        """Centres of the Gaussians in float64, shape (K, d)."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """Weights of the Gaussians in float64, summing to one, shape (K,)."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        # The log of a sum of exponentials, several times faster than torch.logsumexp.
        log_p = [
            terms.amax(1) - torch.log_softmax(terms, 1).amax(1) for _, terms in self._chunks(x)
        ]
        return torch.cat(log_p).reshape(x.shape[:-1])

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``: from the weighted mean of the centres."""
        centres = self.centres.to(x)
        scores = [
            (torch.softmax(terms, 1) @ centres - points) / self.sd**2
            for points, terms in self._chunks(x)
        ]
        return torch.cat(scores).reshape(x.shape)

    def smoothed_score(self, x: Tensor, start: Tensor, share: Tensor, variance: Tensor) -> Tensor:
        """Score of the density of ``start + share (y − start) + √variance ε``, shape of ``x``.

        Parameters
        ----------
        x : Tensor of shape (R, B, d)
            Points.
        start, share, variance : Tensor
            As `ebm_bench.energies.levels.Path` gives them, broadcast to the shape of ``x``.
        """
        width = share.square() * self.sd**2 + variance
        start = start.unsqueeze(2)
        centres = start + share.unsqueeze(2) * (self.centres.to(x) - start)
        apart = centres - x.unsqueeze(2)
        terms = self.weights.log().to(x) - 0.5 * (apart.square() / width.unsqueeze(2)).sum(3)
        return (terms.softmax(2).unsqueeze(3) * apart).sum(2) / width

    def _chunks(self, x: Tensor):
        """Yield points (n, d) and the log of what each Gaussian adds there, (n, K)."""
        centres, dimension = self.centres.to(x), self.event_shape[0]
        normaliser = 0.5 * dimension * math.log(2 * math.pi * self.sd**2)
        constants = (self.weights.log() - normaliser).to(x)
        scale = -0.5 / self.sd**2
        for points in x.reshape(-1, dimension).split(max(1, _CHUNK // len(centres))):
            squares = sum(
                (coordinate[:, None] - centre) ** 2
                for coordinate, centre in zip(points.unbind(1), centres.unbind(1), strict=True)
            )
            yield points, scale * squares + constants
