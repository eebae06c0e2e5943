"""Pseudo-spherical contrastive divergence."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.chains import BesideChains
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class PseudoSpherical(BesideChains):
    """Contrastive divergence in which points of low energy count more.

    The pseudo-spherical score is ``−1/γ log E_data exp(−γE) + 1/(1+γ) log ∫ exp(−(1+γ)E)``: the
    likelihood for γ → 0, and less sensitive to outliers in the data for larger γ. The gradient of
    its integral is a mean over the density ``∝ exp(−(1+γ)E)``, which are the chains of contrastive
    divergence with weights ``exp(−γE)``. So the loss is ``F(x) − F(x⁻)`` with
    ``F = −1/γ log mean exp(−γE)``; its gradient is that of the score, and its value is not.

    Parameters
    ----------
    gamma : float
        γ, power of the density in the weights.
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
    Yu, Song, Song and Ermon, "Pseudo-spherical contrastive divergence", NeurIPS 2021,
    arXiv:2111.00780. Chains of ``exp(−(1+γ)E)`` itself that start at data would not rest at the
    truth, as data are no sample of it; with weights they do.
    """

    search = {"step_size": (0.03, 0.1, 0.3), "gamma": (0.03, 0.1, 0.3)}  # noqa: RUF012

    gamma: Annotated[float, Gt(0)] = 0.1

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Soft minimum of the energy of data less that of the chains, shape (R,)."""
        points = self.samples(energy, x, streams)
        return self._soft_minimum(energy(x)) - self._soft_minimum(energy(points))

    def _soft_minimum(self, energies: Tensor) -> Tensor:
        """Compute ``−1/γ log mean exp(−γE)`` of energies (R, N), shape (R,)."""
        log_mean = torch.logsumexp(-self.gamma * energies, 1) - math.log(energies.shape[1])
        return -log_mean / self.gamma
