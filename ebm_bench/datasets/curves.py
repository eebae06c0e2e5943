"""Noisy curves in the plane: ``x = c(t) + σ ε``, with t uniform on [0, 1]."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ebm_bench.datasets.planar import GaussianSum
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class _Curve(GaussianSum):
    """One or two branches of equal weight, blurred by a Gaussian.

    The density is an integral over t, computed by Gauss and Legendre's rule: a sum of
    Gaussians at its nodes. The rule runs over √t, in which every curve here is smooth (the
    spirals are not smooth in t), with enough nodes for an error under 1e-10 of the peak.

    Attributes
    ----------
    nodes : int
        Number of nodes of the rule per branch.
    """

    nodes = 256

    @abstractmethod
    def curve(self, t: Tensor) -> Tensor:
        """Map t in [0, 1], shape (...), to the point of each branch, shape (..., branches, 2)."""

    @cached_property
    def _rule(self) -> tuple[Tensor, Tensor]:
        nodes, masses = np.polynomial.legendre.leggauss(self.nodes)
        root = torch.from_numpy(nodes + 1) / 2
        points = self.curve(root**2)
        branches = points.shape[1]
        # dt = 2 √t d√t, and the rule's weights sum to two.
        weights = torch.from_numpy(masses) * root / branches
        return points.reshape(-1, 2), weights.repeat_interleave(branches)

    @property
    def centres(self) -> Tensor:
        """Nodes of the rule in float64, shape (K, 2)."""
        return self._rule[0]

    @property
    def weights(self) -> Tensor:
        """Weights of the nodes in float64, shape (K,)."""
        return self._rule[1]

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        points = self.curve(streams.uniform(n))
        branch = streams.integers(points.shape[2], n)
        chosen = points.take_along_dim(branch[..., None, None], 2).squeeze(2)
        return chosen + self.sd * streams.normal(n, 2)


def _spiral(radius: Tensor, angle: Tensor) -> Tensor:
    """Turn polar into Cartesian coordinates, shape (..., 2)."""
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


@register
@dataclass(eq=False, kw_only=True)
class TwoMoons(_Curve):
    """Two interleaved half circles of radius 2.5, blurred by sd 0.2.

    The upper is centred at (−1.25, −0.625), the lower at (1.25, 0.625).
    """

    citation = "Pedregosa et al. 2011, scikit-learn, arXiv:1201.0490"
    sd = 0.2
    nodes = 96
    box = ((-4.8, 4.8), (-2.95, 2.95))

    def curve(self, t: Tensor) -> Tensor:
        """Map t in [0, 1], shape (...), to the point of each branch, shape (..., 2, 2)."""
        upper = 2.5 * _spiral(torch.ones_like(t), math.pi * t) - t.new_tensor([1.25, 0.625])
        return torch.stack([upper, -upper], -2)


@register
@dataclass(eq=False, kw_only=True)
class TwoCircles(_Curve):
    """Two circles around the origin, of radius 4 and 2 and equal weight, blurred by sd 0.2."""

    citation = "Pedregosa et al. 2011, scikit-learn, arXiv:1201.0490"
    sd = 0.2
    nodes = 320
    box = ((-5.0, 5.0), (-5.0, 5.0))

    def curve(self, t: Tensor) -> Tensor:
        """Map t in [0, 1], shape (...), to the point of each branch, shape (..., 2, 2)."""
        outer = 4 * _spiral(torch.ones_like(t), 2 * math.pi * t)
        return torch.stack([outer, outer / 2], -2)


@register
@dataclass(eq=False, kw_only=True)
class TwoSpirals(_Curve):
    """Two arms from the origin to radius 4 in one and a half turns, blurred by sd 0.12.

    Both radius and angle grow with √t, so that the arms are about equally dense all along.
    """

    citation = "Grathwohl et al. 2019, FFJORD, arXiv:1810.01367"
    sd = 0.12
    nodes = 400
    box = ((-4.6, 4.6), (-4.6, 4.6))

    def curve(self, t: Tensor) -> Tensor:
        """Map t in [0, 1], shape (...), to the point of each branch, shape (..., 2, 2)."""
        arm = _spiral(4 * t.sqrt(), 3 * math.pi * t.sqrt())
        return torch.stack([arm, -arm], -2)


@register
@dataclass(eq=False, kw_only=True)
class SwissRoll(_Curve):
    """A spiral of one and a half turns, from radius 4/3 to 4, blurred by sd 0.15.

    The angle is uniform on [3π/2, 9π/2] and the radius in proportion to it.
    """

    citation = "Pedregosa et al. 2011, scikit-learn, arXiv:1201.0490"
    sd = 0.15
    nodes = 480
    box = ((-4.8, 4.8), (-4.8, 4.8))

    def curve(self, t: Tensor) -> Tensor:
        """Map t in [0, 1], shape (...), to the point of the one branch, shape (..., 1, 2)."""
        angle = math.pi * (1.5 + 3 * t)
        return _spiral(angle * (4 / (4.5 * math.pi)), angle).unsqueeze(-2)
