"""Hamiltonian Monte Carlo."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.registry import register
from ebm_bench.samplers.base import Sampler
from ebm_bench.samplers.leapfrog import hamiltonian
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Hmc(Sampler):
    """Hamiltonian Monte Carlo with an accept step, so that the density is left invariant.

    Parameters
    ----------
    steps : int
        Number of trajectories of each chain.
    leapfrog : int
        Leapfrog steps per trajectory; one gradient each.
    step_size : float
        Length of a leapfrog step, in units of the energy's scale.

    References
    ----------
    Duane et al., "Hybrid Monte Carlo", 1987, doi:10.1016/0370-2693(87)91197-X. Neal, "MCMC using
    Hamiltonian dynamics", 2011, arXiv:1206.1901.
    """

    steps: Annotated[int, Ge(1)] = 20
    leapfrog: Annotated[int, Ge(1)] = 5
    step_size: Annotated[float, Gt(0)] = 0.3

    def run(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Move every chain, (R, C, *event_shape)."""
        return hamiltonian(energy, x, streams, self.steps, self.step_size, self.leapfrog)
