"""The contract of an energy."""

from abc import abstractmethod
from dataclasses import InitVar, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebm_bench.modules import Component
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Energy(Component):
    """A function whose exponential ``exp(−E(x))`` is a density up to its normaliser.

    Parameters
    ----------
    event_shape : tuple of int
        Shape of one point.
    replicates : int
        Number of models side by side.
    streams : Streams, optional
        Where the initial weights are drawn; seed 0 where not given.

    Attributes
    ----------
    smooth : bool
        Whether the energy has a second derivative that says something about it. False for
        piecewise-linear networks, whose second derivative is zero almost everywhere.
    evaluations : int
        Points of one replicate at which the energy was evaluated so far. A gradient counts as
        one evaluation, and so does each direction of a second derivative.
    """

    event_shape: tuple[int, ...]
    replicates: int = 1
    streams: InitVar[Streams | None] = None

    smooth: ClassVar[bool] = True

    def __post_init__(self, streams: Streams | None):
        self.event_shape = tuple(self.event_shape)
        self.evaluations = 0
        self.build(streams or Streams(seed=0, replicates=self.replicates))

    def __call__(self, x: Tensor) -> Tensor:
        """Count the points and evaluate them."""
        self.evaluations += x.shape[1]
        return super().__call__(x)

    @abstractmethod
    def build(self, streams: Streams) -> None:
        """Create the parameters."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""

    def attach(self, dataset) -> None:
        """Tell which dataset is modelled. Only the control that knows the truth listens."""

    def fit(self, data: Tensor) -> None:
        """Set in closed form what can be: the base measure of a network, a Gaussian.

        Parameters
        ----------
        data : Tensor of shape (R, N, *event_shape)
            Training data.
        """

    @property
    def log_z(self) -> Tensor | None:
        """Log-normaliser of each replicate, shape (R,), where it is known exactly."""
        return None

    @property
    def location(self) -> Tensor:
        """Centre of the base measure, shape (R, 1, *event_shape)."""
        return torch.zeros(self.replicates, 1, *self.event_shape)

    @property
    def scale(self) -> Tensor:
        """Standard deviations of the base measure, shape (R, 1, *event_shape).

        Samplers measure their steps in it, so that one setting serves every dataset.
        """
        return torch.ones(self.replicates, 1, *self.event_shape)
