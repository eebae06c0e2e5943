"""A dataset of your own: a density in the plane that is known exactly."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.datasets.base import Dataset
from ebm_bench.registry import register
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True)
class MyOwn(Dataset):
    """A wave: the first coordinate is standard normal, the second its sine with noise.

    ``x₁ ~ N(0, 1)``, ``x₂ ~ N(2 sin 2x₁, sd²)``.

    Parameters
    ----------
    sd : float
        Standard deviation around the wave.
    """

    # Raise it whenever the distribution changes.
    version = 1
    # What it offers besides samples; metrics require these. Leave out what is not known; "grid"
    # is a box in the plane that holds all of the mass.
    knows = ("log_prob", "score", "entropy", "grid")
    citation = "Authors, title, where and when"
    box = ((-6.0, 6.0), (-5.0, 5.0))

    # Settings: an annotation, which is checked, and a literal default.
    sd: Annotated[float, Gt(0)] = 0.4

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return (2,)

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        # Streams draw for R replicates at once, each from its own seed.
        z = streams.normal(n, 2)
        return torch.stack([z[..., 0], self._wave(z[..., 0]) + self.sd * z[..., 1]], -1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...)."""
        u = (x[..., 1] - self._wave(x[..., 0])) / self.sd
        return -0.5 * (x[..., 0].square() + u.square()) - math.log(2 * math.pi * self.sd)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        pull = (x[..., 1] - self._wave(x[..., 0])) / self.sd**2
        slope = 4 * (2 * x[..., 0]).cos()
        return torch.stack([pull * slope - x[..., 0], -pull], -1)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return math.log(2 * math.pi * math.e * self.sd)

    @staticmethod
    def _wave(x: Tensor) -> Tensor:
        return 2 * (2 * x).sin()
