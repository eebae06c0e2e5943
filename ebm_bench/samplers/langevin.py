"""Langevin dynamics, with or without an accept step."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.derivatives.for_samplers import rescale, unscale, value_and_grad
from ebm_bench.registry import register
from ebm_bench.samplers.base import Sampler
from ebm_bench.samplers.leapfrog import hamiltonian
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Langevin(Sampler):
    """Langevin dynamics: ``x ← x − ½ (εs)² ∇E(x) + εs ξ``, ``ξ ~ N(0, I)``.

    ``s`` is the energy's scale per dimension. Without an accept step the chains have
    a bias that vanishes with ``ε``: their variance for a Gaussian of scale ``s`` is
    ``s² / (1 − ε²/4)``, and in modes narrower than ``εs`` they move far from the density. With
    one the density is left invariant.

    Parameters
    ----------
    steps : int
        Number of steps of each chain; one gradient each.
    step_size : float
        ``ε``, in units of the energy's scale.
    adjusted : bool
        Whether proposals are accepted by the rule of Metropolis and Hastings; one more gradient.

    References
    ----------
    Roberts and Tweedie, "Exponential convergence of Langevin distributions and their discrete
    approximations", 1996, doi:10.2307/3318418. Besag's comment on Grenander
    and Miller, "Representations of knowledge in complex systems", 1994,
    doi:10.1111/j.2517-6161.1994.tb02000.x, adds the accept step.
    """

    steps: Annotated[int, Ge(1)] = 100
    step_size: Annotated[float, Gt(0)] = 0.1
    adjusted: bool = False

    def run(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Move every chain, (R, C, *event_shape)."""
        if self.adjusted:  # trajectories of a single leapfrog step
            return hamiltonian(energy, x, streams, self.steps, self.step_size)
        u, drift = rescale(energy, x), 0.5 * self.step_size**2
        for _ in range(self.steps):
            _, slope = value_and_grad(energy, u)
            u = (1 - drift) * u
            u.sub_(slope, alpha=drift).add_(streams.normal_like(u), alpha=self.step_size)
        return unscale(energy, u)
