"""The contract of a dataset."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

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
        ``grid`` (a window ``box`` in the plane), ``modes``, ``parameters``, ``pixels``. Metrics
        require these.
    files : tuple of str
        Settings that hold paths of files or folders from which points are read. Their content
        joins what a training depends on, so that replaced data are trained on again.
    """

    version: ClassVar[int] = 1
    kind: ClassVar[str] = "toy"
    licence: ClassVar[str] = "MIT"
    citation: ClassVar[str] = ""
    knows: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str] = ""

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

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., *event_shape), shape (...)."""
        raise TypeError(f"the density of {self.name} is not known")

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        raise TypeError(f"the score of {self.name} is not known")

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
