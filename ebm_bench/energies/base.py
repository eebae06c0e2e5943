"""The contract of an energy."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebm_bench.errors import InputError
from ebm_bench.nn.module import Component
from ebm_bench.registry.fitting import kind_of, rough_setting
from ebm_bench.streams import Streams

_MEANINGLESS = "the parameters of {} have no meaning of their own. Valid: ica, quadratic, ring"


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
        Source of the initial weights; seed 0 by default.

    Attributes
    ----------
    location, scale : Tensor of shape (R, 1, *event_shape)
        Mean and standard deviations of the data it was fitted to. Samplers start there and
        measure their steps in the scale, so that one setting serves every dataset.
    rough : dict of str to tuple
        Settings with the values that make the energy not smooth.
    rough_for : tuple of str
        Kinds of datasets for which ``rough`` holds.
    normalised : bool
        Whether ``log_z`` is known.
    needs : tuple of str
        What it asks of the dataset: an entry of `Dataset.knows`, or its kind.
    levels : bool
        Whether it can be continued to noise levels; see `ebm_bench.energies.levels.Levels`.
    learns : bool
        Whether `fit` alone learns more of the data than moments.
    evaluations : int
        Points of one replicate at which the energy was evaluated so far. A gradient counts as
        one evaluation, and so does each direction of a second derivative.
    """

    event_shape: tuple[int, ...]
    replicates: int = 1
    streams: InitVar[Streams | None] = None

    rough: ClassVar[dict[str, tuple[str, ...]]] = {}
    rough_for: ClassVar[tuple[str, ...]] = ("toy", "image")
    normalised: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[bool] = False
    learns: ClassVar[bool] = False

    def __post_init__(self, streams: Streams | None):
        self.event_shape = tuple(self.event_shape)
        self.evaluations = 0
        shape = (self.replicates, 1, *self.event_shape)
        self.location: Tensor
        self.scale: Tensor
        self.register_buffer("location", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.build(streams or Streams(seed=0, replicates=self.replicates))

    def __call__(self, x: Tensor) -> Tensor:
        """Count the points and evaluate them."""
        self.count(x.shape[1])
        return super().__call__(x)

    def count(self, points: int) -> None:
        """Add to the evaluations; the caller counts those of a compiled function."""
        if not torch.compiler.is_compiling():
            self.evaluations += points

    @property
    def smooth(self) -> bool:
        """Whether the energy is twice differentiable with these settings.

        False for piecewise-linear networks, whose second derivative is zero almost everywhere.
        An energy that is never smooth sets the class attribute ``smooth = False`` instead.
        """
        return rough_setting(self, vars(self), kind_of(self.event_shape)) is None

    @abstractmethod
    def build(self, streams: Streams) -> None:
        """Create the parameters."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""

    def attach(self, dataset) -> None:
        """Use the dataset that is modelled. Nothing, except for controls that know the truth."""

    def fit(self, data: Tensor) -> None:
        """Fit what has a closed form: location and scale, the parameters of a Gaussian.

        Parameters
        ----------
        data : Tensor of shape (R, N, *event_shape)
            Training data.
        """
        scale, location = torch.std_mean(data, dim=1, keepdim=True, correction=0)
        self.location.copy_(location)
        self.scale.copy_(scale.clamp_min(1e-6))

    def fit_all(self, batches: Iterator[Tensor]) -> bool:
        """Fit to all training points, where moments are enough to do so.

        Parameters
        ----------
        batches : iterator of Tensor of shape (R, n, *event_shape)
            All training points, more than may fit into memory.

        Returns
        -------
        bool
            Whether it was done; by default it is not, and `fit` is called.
        """
        return False

    @property
    def estimate(self) -> dict[str, Tensor]:
        """Estimates of the parameters of the dataset, under the names of `Dataset.parameters`.

        Differentiable, with the replicates in front. Only for energies with true parameters.
        """
        raise InputError(_MEANINGLESS.format(self.name))

    def assume(self, parameters: dict[str, Tensor]) -> None:
        """Set the parameters to what `estimate` returns, for all replicates or one for each."""
        raise InputError(_MEANINGLESS.format(self.name))

    @property
    def log_z(self) -> Tensor | None:
        """Log-normaliser of each replicate, shape (R,), where it is known exactly."""
        return None


class Density(Energy):
    """An energy that is minus the log-density: its log Z is 0."""

    normalised = True

    @property
    def log_z(self) -> Tensor:
        """Zeros of shape (R,)."""
        return self.location.new_zeros(self.replicates)
