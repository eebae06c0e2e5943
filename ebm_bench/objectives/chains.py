"""Langevin chains that are moved a little in every step of training."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class BesideChains(Objective):
    """An objective that compares data with Langevin chains that start there.

    Parameters
    ----------
    persistent : bool
        Whether the chains continue from step to step.
    steps : int
        Langevin steps of each chain before each update.
    step_size : float
        Step size of Langevin dynamics, in units of the energy's scale.
    adjusted : bool
        Whether the steps are accepted by the rule of Metropolis and Hastings.
    chains : int
        Number of chains; of plain ones at most the batch size.
    """

    kind = "contrastive divergence"
    samples_model = True

    persistent: bool = False
    steps: Annotated[int, Ge(1)] = 10
    step_size: Annotated[float, Gt(0)] = 0.1
    adjusted: bool = True
    chains: Annotated[int, Ge(1)] = 128

    def build(self, energy: Energy) -> None:
        """Create the sampler, and room for the persistent chains."""
        super().build(energy)
        self.sampler = Langevin(steps=self.steps, step_size=self.step_size, adjusted=self.adjusted)
        self.states: Tensor
        if self.persistent:
            shape = (energy.replicates, self.chains, *energy.event_shape)
            self.register_buffer("states", torch.zeros(shape))

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Start the persistent chains at data points."""
        if self.persistent:
            index = streams.integers(data.shape[1], self.chains)
            rows = torch.arange(len(data), device=data.device)[:, None]
            self.states.copy_(data[rows, index])

    def start(self, x: Tensor) -> Tensor:
        """Return where the chains are before the steps of a batch, (R, C, *event_shape)."""
        return self.states if self.persistent else x[:, : self.chains]

    def samples(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Move the chains, and return where they are after it, (R, C, *event_shape)."""
        points = self.sampler.run(energy, self.start(x), streams)
        if self.persistent:
            self.states.copy_(points)
        return points
