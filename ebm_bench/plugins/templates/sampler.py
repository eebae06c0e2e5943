"""A sampler of your own: Markov chains that move points towards the density of an energy."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.registry import register
from ebm_bench.samplers.base import Sampler
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True)
class MyOwn(Sampler):
    """Random-walk Metropolis: propose a Gaussian step, accept it by the ratio of densities.

    Parameters
    ----------
    steps : int
        Number of steps of each chain; one evaluation of the energy each.
    step_size : float
        Standard deviation of a step, in units of the energy's scale.
    """

    # Settings: an annotation, which is checked, and a literal default.
    steps: Annotated[int, Ge(1)] = 100
    step_size: Annotated[float, Gt(0)] = 0.5

    @torch.no_grad()
    def run(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Move every chain, (R, C, *event_shape)."""
        # energy.scale is that of the data, so that one step size serves every dataset. For the
        # gradient of the energy there is ebm_bench.derivatives.gradient.
        here = energy(x)
        for _ in range(self.steps):
            proposed = x + self.step_size * energy.scale * streams.normal_like(x)
            there = energy(proposed)
            accepted = streams.uniform(x.shape[1], dtype=x.dtype).log() < here - there
            x = torch.where(accepted.view(*accepted.shape, *[1] * (x.dim() - 2)), proposed, x)
            here = torch.where(accepted, there, here)
        return x
