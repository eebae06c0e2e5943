"""Annealed importance sampling: the log-normaliser of an energy in any dimension."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from ebm_bench.samplers.hamiltonian import place, trajectory
from ebm_bench.streams import Streams

# Acceptance rate that the pilot run steers towards. A rejected move turns its chain round,
# so moves that keep their momentum want a higher rate than those that draw it anew.
_TARGET = 0.9
# The share of its chains that carries the weight of an estimate worth trusting.
_ENOUGH = 0.25


@dataclass(frozen=True)
class LogZ:
    """Log-normalisers, known or estimated.

    Attributes
    ----------
    log_z : Tensor of shape (R,)
        In nats.
    standard_error : Tensor of shape (R,)
        Of ``log_z``; 0 where it is known.
    details : dict of str to Tensor of shape (R,)
        How good an estimate is: ``"converged"`` (1 or 0), and by annealed importance sampling
        ``"effective_sample_size"`` in chains.
    """

    log_z: Tensor
    standard_error: Tensor
    details: dict[str, Tensor] = field(default_factory=dict)


def annealed_importance_sampling(
    energy: nn.Module, streams: Streams, chains: int = 16, levels: int = 300
) -> LogZ:
    """Estimate log-normalisers along a path from the energy's base measure.

    Chains start at exact draws from ``N(location, scale²)`` and move by Hamiltonian dynamics,
    keeping their momentum, through the densities ``exp(−(1 − β) E₀ − β E)`` from β = 0 to 1,
    ``E₀`` being the Gaussian's energy; each level costs one gradient. Neal (2001), "Annealed
    importance sampling"; Sohl-Dickstein & Culpepper (2012), "Hamiltonian annealed importance
    sampling".

    A pilot run over a quarter of the levels finds each replicate's step sizes. The run proper
    takes them and draws other random numbers, so its weights are unbiased: ``E[w] = Z``. The
    logarithm of their mean is on average too low, and where few chains carry the weight it is
    far too low: then the delta method's standard error, which cannot exceed 1, says too
    little, and ``converged`` is 0.

    Parameters
    ----------
    energy : Energy
        Its ``location`` and ``scale`` define the base measure and the units of the steps.
    streams : Streams
        Where the randomness comes from.
    chains : int
        Independent weights per replicate, at least 2.
    levels : int
        Densities on the way.

    Returns
    -------
    LogZ
        With the effective sample size ``(Σw)² / Σw²``.
    """
    pilot_levels = max(1, levels // 4)
    _, found = _anneal(energy, streams.child("pilot"), chains, pilot_levels)
    steps = found[:, torch.arange(levels) * pilot_levels // levels]
    weights, _ = _anneal(energy, streams.child("weights"), chains, levels, steps)
    size = math.prod(energy.event_shape)
    base = 0.5 * size * math.log(2 * math.pi) + energy.scale.double().log().flatten(1).sum(1)
    total = weights.logsumexp(1)
    effective = (2 * total - (2 * weights).logsumexp(1)).exp()
    error = ((chains / effective - 1).clamp_min(0) / (chains - 1)).sqrt()
    details = {
        "converged": (effective >= _ENOUGH * chains).double(),
        "effective_sample_size": effective,
    }
    return LogZ(base + total - math.log(chains), error, details)


def _anneal(
    energy: nn.Module, streams: Streams, chains: int, levels: int, steps: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Take chains along the path; without step sizes (R, levels), find them on the way.

    Returns the log-weights (R, chains) in float64 and the step sizes.
    """
    like = energy.scale
    adapt = steps is None
    if adapt:  # the dependence on dimension that suits a Gaussian: Roberts & Rosenthal (1998)
        first = math.prod(energy.event_shape) ** (-1 / 6)
        steps = torch.full((streams.replicates, levels), first, device=like.device)
    # Denser near the base, where the weights spread most.
    betas = [(k / levels) ** 2 for k in range(levels + 1)]
    u = streams.normal(chains, *energy.event_shape, dtype=like.dtype)
    state = place(energy, u, streams.normal_like(u))
    weights = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    for k, (last, beta) in enumerate(pairwise(betas)):
        weights -= (beta - last) * state.excess.double()
        step = steps[:, k].to(like.dtype).view(-1, *[1] * (like.dim() - 1))
        keep = 0.5**step  # of the momentum's variance
        momentum = streams.normal_like(u).mul_((1 - keep).sqrt())
        state = state._replace(momentum=momentum.addcmul_(state.momentum, keep.sqrt()))
        state, acceptance = trajectory(energy, state, streams, step, 1, beta)
        if adapt:
            steps[:, k + 1 :] *= (0.5 * (acceptance.mean(1) - _TARGET)).exp()[:, None]
    return weights, steps
