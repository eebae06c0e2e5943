"""The contract of a training objective."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.nn.module import Component
from ebm_bench.registry.fitting import kind_of, misfit
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Objective(Component):
    """A training criterion with its hyper-parameters and what it owns.

    Attributes
    ----------
    requires : tuple of str
        What it asks of the energy: ``"smooth"`` (a second derivative), ``"log_z"`` (a known
        normaliser).
    trains : bool
        Whether there is anything to minimise. False for controls that are only fitted.
    samples_model : bool
        Whether the loss needs samples of the model while it is trained. They are held constant
        when the loss is differentiated.
    kind : str
        The family of methods that it belongs to, by which a leaderboard can be filtered.
    search : dict of str to tuple
        Values that tuning tries for settings which a suite leaves open, the default among
        them. A setting that makes another method of it (a noise) is no part of it.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = True
    samples_model: ClassVar[bool] = False
    kind: ClassVar[str] = "other"
    search: ClassVar[dict[str, tuple]] = {}

    def build(self, energy: Energy) -> None:
        """Create what the objective owns (noise, flow, chains) in its final shape, unfitted.

        Raises
        ------
        InputError
            Where the energy lacks what the objective requires.
        """
        if why := misfit(self.requires, energy, vars(energy), kind_of(energy.event_shape)):
            raise InputError(f"{self.name} {why}")

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit what the objective owns to the data. Nothing, unless overridden."""

    def setup(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Build and fit what the objective owns, ready for `loss`.

        Parameters
        ----------
        energy : Energy
            The energy to be trained, already fitted to the data.
        data : Tensor of shape (R, N, *event_shape)
            Training data for fitting.
        streams : Streams
            Where the randomness comes from.
        """
        self.build(energy)
        self.to(data)
        self.fit(energy, data, streams)

    @abstractmethod
    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Loss of a batch.

        Parameters
        ----------
        energy : Energy
            The energy that is trained.
        x : Tensor of shape (R, B, *event_shape)
            A batch of data.
        streams : Streams
            Where the randomness comes from.

        Returns
        -------
        Tensor of shape (R,)
            To be minimised. Its sum over replicates is differentiated.
        """

    @property
    def log_z(self) -> Tensor | None:
        """The log-normaliser that was learned, shape (R,), where there is one."""
        return None

    @property
    def byproducts(self) -> dict[str, nn.Module]:
        """Other models that training leaves, as energies by name."""
        return {}
