"""Persistent contrastive divergence with walkers that are weighted by Jarzynski's equality."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.nn.flow import standard_normal_log_prob
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class JarzynskiContrastiveDivergence(Objective):
    """Maximise the likelihood, with log Z by walkers that carry weights from step to step.

    ``E_data E + log mean exp(A)``. When the energy changes from ``E`` to ``E′``, the log-weight of
    the walker at ``y`` becomes ``A + E(y) − E′(y)``; then it moves by Langevin steps that leave
    ``E′`` invariant. ``E exp(A) = Z`` however slowly the walkers mix, since they start at samples
    of the energy's base measure, whose density is known. The gradient is ``E_data ∇E`` less the
    weighted mean of ``∇E`` over the walkers, which are resampled when few carry the weight.

    Parameters
    ----------
    steps : int
        Langevin steps of each walker after each update, with an accept step.
    step_size : float
        Step size of Langevin dynamics, in units of the energy's scale.
    walkers : int
        Number of walkers.
    threshold : float
        Share of the walkers; they are resampled where fewer are effective.

    References
    ----------
    Carbone, Hua, Coste and Vanden-Eijnden, "Efficient training of energy-based models using
    Jarzynski equality", NeurIPS 2023, arXiv:2305.19414, whose weights correct unadjusted steps.
    """

    kind = "contrastive divergence"
    samples_model = True
    search = {"step_size": (0.03, 0.1, 0.3)}  # noqa: RUF012

    steps: Annotated[int, Ge(1)] = 10
    step_size: Annotated[float, Gt(0)] = 0.1
    walkers: Annotated[int, Ge(2)] = 128
    threshold: Annotated[float, Ge(0), Le(1)] = 0.5

    def build(self, energy: Energy) -> None:
        """Create the sampler, and room for the walkers."""
        super().build(energy)
        self.sampler = Langevin(steps=self.steps, step_size=self.step_size, adjusted=True)
        shape = (energy.replicates, self.walkers)
        self.states: Tensor
        self.register_buffer("states", torch.zeros(*shape, *energy.event_shape))
        self.energies: Tensor
        self.register_buffer("energies", torch.zeros(shape))
        self.log_weights: Tensor
        self.register_buffer("log_weights", torch.zeros(shape))

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Start the walkers at samples of the energy's base measure, of known density."""
        u = streams.normal_like(self.states)
        self.states.copy_(energy.location + energy.scale * u)
        log_scale = energy.scale.log().flatten(1).sum(1, keepdim=True)
        self.energies.copy_(log_scale - standard_normal_log_prob(u.flatten(2)))

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser before the last update in nats, shape (R,)."""
        return torch.logsumexp(self.log_weights, 1) - math.log(self.walkers)

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Estimated negative log-likelihood of a batch (R, B, *event_shape), nats, shape (R,)."""
        data, now = energy(torch.cat([x, self.states], dim=1)).tensor_split([x.shape[1]], dim=1)
        log_weights = self.log_weights + self.energies - now
        self._move(energy, log_weights.detach(), streams)
        return data.mean(1) + torch.logsumexp(log_weights, 1) - math.log(self.walkers)

    @torch.no_grad()
    def _move(self, energy: Energy, log_weights: Tensor, streams: Streams) -> None:
        """Resample the walkers where needed, and move them all."""
        total = torch.logsumexp(log_weights, 1, keepdim=True)
        effective = (2 * total - torch.logsumexp(2 * log_weights, 1, keepdim=True)).exp()
        few = effective < self.threshold * self.walkers
        own = torch.arange(self.walkers, device=few.device).expand_as(log_weights)
        places = (own + streams.uniform(1, dtype=log_weights.dtype)) / self.walkers
        drawn = torch.searchsorted(log_weights.softmax(1).cumsum(1), places)
        index = torch.where(few, drawn.clamp_max(self.walkers - 1), own)
        self.log_weights.copy_(torch.where(few, total - math.log(self.walkers), log_weights))
        start = self.states[torch.arange(len(index), device=few.device)[:, None], index]
        self.states.copy_(self.sampler.run(energy, start, streams))
        self.energies.copy_(energy(self.states))
