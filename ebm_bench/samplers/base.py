"""The contract of a sampler."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class Sampler(ABC):
    """Markov chains that move points towards the density of an energy."""

    name: ClassVar[str] = ""

    @abstractmethod
    def run(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Move every chain.

        Parameters
        ----------
        energy : Energy
            Energy of the target density; steps are in units of its ``scale``.
        x : Tensor of shape (R, C, *event_shape)
            Initial states of the chains; not changed.
        streams : Streams
            Source of randomness.

        Returns
        -------
        Tensor of shape (R, C, *event_shape)
            Final states of the chains, detached from the graph.
        """
