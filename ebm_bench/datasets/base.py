"""The contract of a dataset."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class Dataset(ABC):
    """A distribution to learn: samples, and the density where it is known.

    Attributes
    ----------
    version : int
        Raised whenever the distribution changes; results of different versions are not mixed.
    kind : str
        ``"toy"`` (density known) or ``"image"``.
    licence, citation : str
        Licence and citation of the data.
    knows : tuple of str
        What the dataset provides beyond samples: any of ``log_prob``, ``score``, ``entropy``,
        ``grid`` (a window ``box`` in the plane), ``modes``, ``parameters``, ``pixels``,
        ``smoothed_score`` (under Gaussian noise). Metrics require these.
    downloads : str
        Data set that must be fetched before: a key of `ebm_bench.datasets.cached.ARRAYS`.
        Empty for most.
    files : tuple of str
        Settings that hold paths of files or folders from which points are read. Their content
        joins what a training depends on, so that replaced data are trained on again. Relative
        paths start from the folder of the suite.
    space : str
        How points were made from the data of the user (scaling, splits), for records and
        captions. Empty where points are as they are.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[str] = "toy"
    licence: ClassVar[str] = "MIT"
    citation: ClassVar[str] = ""
    knows: ClassVar[tuple[str, ...]] = ()
    downloads: ClassVar[str] = ""
    files: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str] = ""
    space = ""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: ``(d,)`` for vectors, ``(C, H, W)`` for images."""

    @abstractmethod
    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points.

        Parameters
        ----------
        n : int
            Points per replicate.
        streams : Streams
            Source of randomness.
        split : {"train", "validation", "test"}
            Part of a finite dataset; ignored where the distribution is a density.

        Returns
        -------
        Tensor of shape (R, n, *event_shape)
        """

    def size(self, split: str) -> int | None:
        """Count the points of a split of finite data; None where there are infinitely many."""
        return None

    def batches(self, streams: Streams, split: str = "train") -> Iterator[Tensor] | None:
        """Go through the points of a split of finite data once.

        Parameters
        ----------
        streams : Streams
            Source of what is random about a point, such as dequantisation.
        split : {"train", "validation", "test"}
            Part of the data.

        Returns
        -------
        iterator of Tensor of shape (R, n, *event_shape), or None
            None where there are infinitely many, or the class does not state it.
        """
        return None

    def log_det(self, y: Tensor) -> Tensor:
        """Log-determinant of the map from the data of the user to points, zero without one.

        Metrics subtract it from a log-likelihood, which then is in the units of the data.

        Parameters
        ----------
        y : Tensor of shape (..., *event_shape)
            Points.

        Returns
        -------
        Tensor of shape (...)
        """
        return y.new_zeros(y.shape[: y.ndim - len(self.event_shape)])

    @cached_property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Bounds of each coordinate of vectors, for grids and figures.

        Unless a class has its own: the range of 10,000 training points without the outer
        thousandths, widened by a fifth of it to each side.
        """
        points = self.sample(10_000, Streams(0, scope=("box",)))[0].double()
        low, high = torch.quantile(points, torch.tensor([1e-3, 1 - 1e-3]).double(), dim=0)
        margin = (high - low) / 5
        bounds = torch.stack([low - margin, high + margin], 1).tolist()
        return tuple((a, b) for a, b in bounds)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., *event_shape), shape (...)."""
        raise TypeError(f"the density of {self.name} is not known")

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        raise TypeError(f"the score of {self.name} is not known")

    def mode_of(self, x: Tensor) -> Tensor:
        """Assign points (..., *event_shape) to modes: the nearest, unless a class knows better.

        Returns
        -------
        Tensor of shape (...)
            Indices into ``modes``, which a dataset that knows modes has besides ``mode_weights``.
        """
        modes = self.modes.to(x).flatten(1)  # type: ignore[attr-defined] # where they are known
        lead = x.shape[: x.ndim - len(self.event_shape)]
        return torch.cdist(x.reshape(-1, modes.shape[1]), modes).argmin(1).view(lead)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """True parameters by name, in float64."""
        raise TypeError(f"the parameters of {self.name} are not known")

    def align(self, estimate: dict[str, Tensor]) -> dict[str, Tensor]:
        """Choose, among equivalent parameters, those nearest to the true ones.

        Parameters
        ----------
        estimate : dict of str to Tensor
            Parameters as in `parameters`, with replicates in front.
        """
        return estimate

    def entropy(self) -> float:
        """Differential entropy in nats: the floor of any model's negative log-likelihood."""
        raise TypeError(f"the entropy of {self.name} is not known")


class Vectors(Dataset):
    """A density of vectors.

    Attributes
    ----------
    dimension : int
        Number of coordinates.
    """

    dimension: int

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: ``(dimension,)``."""
        return (self.dimension,)
