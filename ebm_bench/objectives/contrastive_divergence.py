"""Contrastive divergence, plain and persistent."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.chains import BesideChains
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ContrastiveDivergence(BesideChains):
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

    search = {"step_size": (0.03, 0.1, 0.3)}  # noqa: RUF012

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Energy of the data less that of the chains, shape (R,)."""
        points = self.samples(energy, x, streams)
        return energy(x).mean(1) - energy(points).mean(1)
