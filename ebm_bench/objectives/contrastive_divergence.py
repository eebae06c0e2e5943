"""Contrastive divergence, plain and persistent."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ContrastiveDivergence(Objective):
    """Lower the energy of data and raise that of short Langevin chains.

    ``mean E(x) − mean E(x⁻)``, whose gradient approaches that of the likelihood as the chains
    that end at ``x⁻`` approach the model. Plain chains start at data points in every step;
    persistent ones continue where they stopped. The truth is a fixed point only if chains leave it
    invariant: without an accept step those that are longer than its modes are wide do not.

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

    References
    ----------
    Hinton, "Training products of experts by minimizing contrastive divergence", Neural
    Computation 2002, doi:10.1162/089976602760128018. Tieleman, "Training restricted Boltzmann
    machines using approximations to the likelihood gradient", ICML 2008,
    doi:10.1145/1390156.1390290.
    """

    kind = "contrastive divergence"
    samples_model = True
    search = {"step_size": (0.03, 0.1, 0.3)}  # noqa: RUF012

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

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Energy of the data less that of the chains, shape (R,)."""
        start = self.states if self.persistent else x[:, : self.chains]
        points = self.sampler.run(energy, start, streams)
        if self.persistent:
            self.states.copy_(points)
        return energy(x).mean(1) - energy(points).mean(1)
