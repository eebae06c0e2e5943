"""Annealed importance sampling: the log-normaliser of an energy in any dimension."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.derivatives.for_samplers import rescale
from ebm_bench.samplers.leapfrog import init, leapfrog
from ebm_bench.streams import Streams

# Acceptance rate that the pilot run aims at. A rejection reverses the momentum, so chains that keep
# their momentum need a higher rate than those that draw it anew.
_TARGET = 0.9
# Least effective sample size of a converged estimate, as a fraction of the chains.
_ENOUGH = 0.25
# Most that chains from data may add to a converged estimate: in standard errors, and in nats.
_ERRORS, _NATS = 2.0, 1e-3


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
        ``"effective_sample_size"`` in chains, and ``"missing"`` in nats.
    chains : tuple of Tensor, optional
        Points where the chains ended, (R, chains, *event_shape), and their shares of the mass of
        the model, (R, chains).
    """

    log_z: Tensor
    standard_error: Tensor
    details: dict[str, Tensor] = field(default_factory=dict)
    chains: tuple[Tensor, Tensor] | None = None


def annealed_importance_sampling(
    energy: Energy,
    streams: Streams,
    chains: int = 128,
    levels: int = 1000,
    data: Tensor | None = None,
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

    Weights cannot reveal a mode that no chain has found. Chains that start at data and return to
    the base measure can, if the mode has data: their weights are larger. Bennett's acceptance
    ratio combines the weights of both directions; what it adds to the estimate is ``missing``, and
    ``converged`` is 0 where that is more than two standard errors. The estimate itself does not
    depend on the data, which are no samples of the model.

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
    data : Tensor of shape (R, N, *event_shape), optional
        Points where the mass is expected. They double the cost.

    Returns
    -------
    LogZ
        With the effective sample size ``(Σw)² / Σw²``.

    References
    ----------
    Neal, "Annealed importance sampling", 2001, arXiv:physics/9803008. Sohl-Dickstein and
    Culpepper, "Hamiltonian annealed importance sampling for partition function estimation", 2012,
    arXiv:1205.1925. Bennett, "Efficient estimation of free energy differences from Monte Carlo
    data", 1976, doi:10.1016/0021-9991(76)90078-4. Grosse, Ghahramani and Adams, "Sandwiching the
    marginal likelihood using bidirectional Monte Carlo", 2015, arXiv:1511.02543. The step sizes
    start at the scaling with dimension that is optimal for a Gaussian: Roberts and Rosenthal,
    "Optimal scaling of discrete approximations to Langevin diffusions", 1998,
    doi:10.1111/1467-9868.00123.
    """
    size, pilot_levels = math.prod(energy.event_shape), max(1, levels // 4)
    steps = torch.full((streams.replicates, pilot_levels), size ** (-1 / 6), device=streams.device)
    start = streams.child("pilot")
    _anneal(energy, start, _base(energy, start, chains), steps, adapt=True)
    steps = steps[:, torch.arange(levels) * pilot_levels // levels]
    start = streams.child("weights")
    weights, u = _anneal(energy, start, _base(energy, start, chains), steps)
    total = weights.logsumexp(1)
    effective = (2 * total - (2 * weights).logsumexp(1)).exp()
    error = ((chains / effective - 1).clamp_min(0) / (chains - 1)).sqrt()
    log_z = total - math.log(chains)
    converged = effective >= _ENOUGH * chains
    details = {"effective_sample_size": effective}
    if data is not None:
        returned, _ = _anneal(
            energy, streams.child("data"), rescale(energy, data), steps, backward=True
        )
        details["missing"] = acceptance_ratio(weights, returned) - log_z
        converged &= details["missing"] <= (_ERRORS * error).clamp_min(_NATS)
    base = 0.5 * size * math.log(2 * math.pi) + energy.scale.double().log().flatten(1).sum(1)
    return LogZ(
        base + log_z,
        error,
        {"converged": converged.double(), **details},
        (energy.location + energy.scale * u, weights.softmax(1)),
    )


def acceptance_ratio(forward: Tensor, backward: Tensor) -> Tensor:
    """Estimate a log-ratio of normalisers from weights of both directions.

    Parameters
    ----------
    forward, backward : Tensor of shape (R, N), (R, M)
        Log-weights of chains that start in the first density, and in the second: for both, of the
        path from the first to the second.

    Returns
    -------
    Tensor of shape (R,)
        Bennett's acceptance ratio. Not a number where a weight is not.
    """
    both = torch.cat([forward, backward], 1)
    low, high = both.amin(1), both.amax(1)
    ratio = math.log(forward.shape[1] / backward.shape[1])
    for _ in range(60):  # the difference falls from one side of 0 to the other
        middle = (low + high) / 2
        offset = (middle + ratio)[:, None]
        surplus = (forward - offset).sigmoid().sum(1) - (offset - backward).sigmoid().sum(1)
        low, high = torch.where(surplus > 0, middle, low), torch.where(surplus > 0, high, middle)
    return torch.where(both.isfinite().all(1), (low + high) / 2, math.nan)


def _base(energy: Energy, streams: Streams, chains: int) -> Tensor:
    """Draw from the base measure, in its units."""
    return streams.normal(chains, *energy.event_shape, dtype=energy.scale.dtype)


def _anneal(
    energy: Energy,
    streams: Streams,
    u: Tensor,
    steps: Tensor,
    adapt: bool = False,
    backward: bool = False,
) -> tuple[Tensor, Tensor]:
    """Move chains along the path, to log-weights (R, chains) in float64 and their last points.

    The step sizes, (R, levels), are adapted in place on request. Backward, each transition is the
    reversal of the forward one: that of the momentum, which is drawn anew, needs no turn.
    """
    like, levels = energy.scale, steps.shape[1]
    # Denser near the base measure, where the weights spread most.
    betas = [(k / levels) ** 2 for k in range(levels + 1)]
    state = init(energy, u, streams.normal_like(u))
    weights = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    for k in reversed(range(levels)) if backward else range(levels):
        gain = betas[k + 1] - betas[k]
        if not backward:
            weights -= gain * state.excess.double()
        step = steps[:, k].to(like.dtype).view(-1, *[1] * (like.dim() - 1))
        keep = 0.5**step  # of the momentum's variance
        momentum = streams.normal_like(u).mul_((1 - keep).sqrt())
        state = state._replace(momentum=momentum.addcmul_(state.momentum, keep.sqrt()))
        state, acceptance = leapfrog(energy, state, streams, step, beta=betas[k + 1])
        if backward:
            weights -= gain * state.excess.double()
        if adapt:
            steps[:, k + 1 :] *= (0.5 * (acceptance.mean(1) - _TARGET)).exp()[:, None]
    return weights, state.u
