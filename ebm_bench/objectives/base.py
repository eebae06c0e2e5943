"""The contract of a training objective."""

import inspect
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.nn.module import Component
from ebm_bench.registry.fitting import kind_of, misfit, needs_plane
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Objective(Component):
    """A training criterion with its hyper-parameters and auxiliary models.

    Attributes
    ----------
    requires : tuple of str
        What it asks of the energy: ``"smooth"`` (a second derivative), ``"log_z"`` (a known
        normaliser), ``"levels"`` (a continuation to noise levels); and of the dataset: ``"grid"``
        (a box in the plane).
    trains : bool
        Whether there is a loss to minimise. False for controls that are only fitted.
    samples_model : bool
        Whether the loss needs samples of the model during training. They are held constant when
        the loss is differentiated.
    maximises : tuple of str
        Names of those of its parts that are trained against the energy: the loss gives them the
        gradient with its sign reversed.
    kind : str
        Family of methods, by which a leaderboard can be filtered.
    search : dict of str to tuple
        Candidate values of settings for tuning, including the default. A setting that defines
        another method (such as a noise) does not belong here.
    takes_progress : bool
        Whether `loss` has the parameter ``progress``; read from its signature.

    Notes
    -----
    What `loss` changes must be parameters and buffers (`register_buffer`), which a checkpoint
    holds, and not plain attributes: trainings with such state are neither compiled nor resumed.
    What changes in the course of training, such as a noise level that is annealed, is a function
    of ``progress``.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = True
    samples_model: ClassVar[bool] = False
    maximises: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = "other"
    search: ClassVar[dict[str, tuple]] = {}
    takes_progress: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs):
        """Look whether the loss asks for the progress of training."""
        super().__init_subclass__(**kwargs)
        cls.takes_progress = "progress" in inspect.signature(cls.loss).parameters

    def attach(self, dataset) -> None:
        """Use the dataset that is modelled, before `build`. Nothing by default."""

    def build(self, energy: Energy) -> None:
        """Create auxiliary models and state (noise, flow, chains) in their final shape, unfitted.

        Raises
        ------
        InputError
            Where the energy lacks what the objective requires.
        """
        if why := misfit(self.requires, energy, vars(energy), kind_of(energy.event_shape)):
            raise InputError(f"{self.name} {why}")
        if "grid" in self.requires and energy.event_shape != (2,):
            raise InputError(f"{self.name} {needs_plane()}")

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit auxiliary models to the data. Does nothing by default."""

    def setup(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Build and fit auxiliary models, before the first `loss`.

        Parameters
        ----------
        energy : Energy
            Energy to be trained, already fitted to the data.
        data : Tensor of shape (R, N, *event_shape)
            Training data.
        streams : Streams
            Source of randomness.
        """
        self.build(energy)
        self.to(data)
        self.fit(energy, data, streams)

    @abstractmethod
    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Loss of a batch.

        A loss that depends on the progress of training has a further parameter,
        ``loss(self, energy, x, streams, progress)``.

        Parameters
        ----------
        energy : Energy
            Energy that is trained.
        x : Tensor of shape (R, B, *event_shape)
            Batch of data.
        streams : Streams
            Source of randomness.
        progress : Tensor of shape ()
            Share of the steps of the training that were taken before this one: 0 in the first
            step, 1 after the last. A tensor, so that a step compiled once is right in every
            step: compute with it, and do not branch on its value.

        Returns
        -------
        Tensor of shape (R,)
            Loss to be minimised. Its sum over replicates is differentiated.
        """

    def loss_at(
        self, energy: Energy, x: Tensor, streams: Streams, progress: Tensor | float = 1.0
    ) -> Tensor:
        """Compute the loss at some progress of training, whether `loss` depends on it or not.

        Parameters
        ----------
        energy, x, streams
            As in `loss`.
        progress : Tensor of shape () or float
            Share of the steps that were taken; by default all.

        Returns
        -------
        Tensor of shape (R,)
        """
        if not self.takes_progress:
            return self.loss(energy, x, streams)
        progress = torch.as_tensor(progress, dtype=x.dtype, device=x.device)
        return self.loss(energy, x, streams, progress=progress)  # type: ignore[call-arg]

    @property
    def log_z(self) -> Tensor | None:
        """Learned log-normaliser, shape (R,), or None."""
        return None

    def escaped(self, energy: Energy, streams: Streams) -> Tensor:
        """Whether a model that is trained beside the energy has left the range of the data.

        Looked at when training ends; such a replicate has failed.

        Parameters
        ----------
        energy : Energy
            Trained energy.
        streams : Streams
            Source of randomness.

        Returns
        -------
        Tensor of bool, shape (R,)
        """
        return energy.location.new_zeros(energy.replicates, dtype=torch.bool)

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the points of a replicate at which a step computes the density of a noise.

        Parameters
        ----------
        batch_size : int
            Data points of the step.

        Returns
        -------
        int
            Samples of the noise included; 0 by default.
        """
        return 0

    @property
    def smoothing(self) -> float | None:
        """Standard deviation of the noise under which its optimum is the density of the data.

        None where the optimum is the density itself, as by default, or none is known.
        """
        return None

    @property
    def byproducts(self) -> dict[str, Energy]:
        """Further models that training produces, as energies by name."""
        return {}
