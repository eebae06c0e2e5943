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
            Steps are measured in its ``scale``.
        x : Tensor of shape (R, C, *event_shape)
            Where the chains start; not changed.
        streams : Streams
            Where the randomness comes from.

        Returns
        -------
        Tensor of shape (R, C, *event_shape)
            Where the chains end, detached from the graph.
        """
