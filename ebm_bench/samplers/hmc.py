"""Hamiltonian Monte Carlo."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor, nn

from ebm_bench.registry import register
from ebm_bench.samplers.base import Sampler, value_and_gradient
from ebm_bench.samplers.hamiltonian import trajectory
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Hmc(Sampler):
    """Hamiltonian Monte Carlo with an accept step, so that the density is left invariant.

    Duane et al. (1987), "Hybrid Monte Carlo"; Neal (2011), "MCMC using Hamiltonian
    dynamics".

    Parameters
    ----------
    steps : int
        Trajectories of each chain.
    leapfrog : int
        Leapfrog steps of a trajectory; one gradient each.
    step_size : float
        Of a leapfrog step, in units of the energy's scale.
    """

    steps: Annotated[int, Ge(1)] = 20
    leapfrog: Annotated[int, Ge(1)] = 5
    step_size: Annotated[float, Gt(0)] = 0.3

    def run(self, energy: nn.Module, x: Tensor, streams: Streams) -> Tensor:
        """Move every chain, (R, C, *event_shape)."""
        step = self.step_size * energy.scale
        state = (x.detach(), *value_and_gradient(energy, x))
        for _ in range(self.steps):
            start = (*state[:3], streams.normal_like(x))
            state, _ = trajectory(energy, start, streams, step, self.leapfrog)
        return state[0]
