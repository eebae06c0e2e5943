"""Annealed importance sampling: the log-normaliser of an energy in any dimension."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.samplers.hamiltonian import init, leapfrog
from ebm_bench.streams import Streams

# Acceptance rate that the pilot run aims at. A rejection reverses the momentum, so chains that keep
# their momentum need a higher rate than those that draw it anew.
_TARGET = 0.9
# Least effective sample size of a converged estimate, as a fraction of the chains.
_ENOUGH = 0.25


@dataclass(frozen=True)
class LogZ:
    """Log-normalisers, known or estimated.

    Attributes
    ----------
    log_z : Tensor of shape (R,)
        Log-normaliser in nats.
    standard_error : Tensor of shape (R,)
        Standard error of ``log_z``; 0 where it is known.
    details : dict of str to Tensor of shape (R,)
        Diagnostics of an estimate: ``"converged"`` (1 or 0), and of annealed importance sampling
        ``"effective_sample_size"`` in chains.
    """

    log_z: Tensor
    standard_error: Tensor
    details: dict[str, Tensor] = field(default_factory=dict)


def annealed_importance_sampling(
    energy: Energy, streams: Streams, chains: int = 16, levels: int = 300
) -> LogZ:
    """Estimate log-normalisers along a path from the energy's base measure.

    Chains start at exact draws from ``N(location, scale²)`` and move by Hamiltonian dynamics with
    partial momentum refreshment through the densities ``exp(−(1 − β) E₀ − β E)`` from β = 0 to 1,
    where ``E₀`` is the energy of the base measure; each level costs one gradient.

    A pilot run over a quarter of the levels adapts each replicate's step sizes. The main run
    uses them with other random numbers, so its weights are unbiased: ``E[w] = Z``. The logarithm
    of their mean is too low on average, and far too low where few chains carry the weight:
    then the standard error of the delta method, which cannot exceed 1, is too small, and
    ``converged`` is 0.

    Parameters
    ----------
    energy : Energy
        Its ``location`` and ``scale`` define the base measure and the units of the steps.
    streams : Streams
        Source of randomness.
    chains : int
        Independent weights per replicate, at least 2.
    levels : int
        Densities on the path.

    Returns
    -------
    LogZ
        With the effective sample size ``(Σw)² / Σw²``.

    References
    ----------
    Neal, "Annealed importance sampling", 2001, arXiv:physics/9803008. Sohl-Dickstein and
    Culpepper, "Hamiltonian annealed importance sampling for partition function estimation", 2012,
    arXiv:1205.1925. The step sizes start at the scaling with dimension that is optimal for a
    Gaussian: Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin
    diffusions", 1998, doi:10.1111/1467-9868.00123.
    """
    size, pilot_levels = math.prod(energy.event_shape), max(1, levels // 4)
    steps = torch.full((streams.replicates, pilot_levels), size ** (-1 / 6), device=streams.device)
    _anneal(energy, streams.child("pilot"), chains, steps, adapt=True)
    steps = steps[:, torch.arange(levels) * pilot_levels // levels]
    weights = _anneal(energy, streams.child("weights"), chains, steps)
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
    energy: Energy, streams: Streams, chains: int, steps: Tensor, adapt: bool = False
) -> Tensor:
    """Move chains along the path, and return their log-weights (R, chains) in float64.

    The step sizes, (R, levels), are adapted in place on request.
    """
    like, levels = energy.scale, steps.shape[1]
    # Denser near the base measure, where the weights spread most.
    betas = [(k / levels) ** 2 for k in range(levels + 1)]
    u = streams.normal(chains, *energy.event_shape, dtype=like.dtype)
    state = init(energy, u, streams.normal_like(u))
    weights = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    for k, (last, beta) in enumerate(pairwise(betas)):
        weights -= (beta - last) * state.excess.double()
        step = steps[:, k].to(like.dtype).view(-1, *[1] * (like.dim() - 1))
        keep = 0.5**step  # of the momentum's variance
        momentum = streams.normal_like(u).mul_((1 - keep).sqrt())
        state = state._replace(momentum=momentum.addcmul_(state.momentum, keep.sqrt()))
        state, acceptance = leapfrog(energy, state, streams, step, beta=beta)
        if adapt:
            steps[:, k + 1 :] *= (0.5 * (acceptance.mean(1) - _TARGET)).exp()[:, None]
    return weights
