"""Annealed importance sampling: the log-normaliser of an energy in any dimension."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.derivatives.for_samplers import rescale
from ebm_bench.samplers.annealing_path import Path, Proposal, Start, find, move
from ebm_bench.samplers.leapfrog import init
from ebm_bench.streams import Streams

# Least effective sample size of a converged estimate, as a fraction of the chains.
_ENOUGH = 0.25
# Most that chains which run back may add to a converged estimate: in standard errors, and in nats.
_ERRORS, _NATS = 2.0, 1e-3
# Share of the mass under which chains of the proposal find none.
_NONE = 0.01


@dataclass(frozen=True)
class Normaliser:
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
    proposal: Proposal | None = None,
    best_start: bool = False,
) -> Normaliser:
    """Estimate log-normalisers along a path from a density that is known.

    Chains start at exact draws and move by Hamiltonian dynamics with partial momentum refreshment
    through the densities ``exp(−(1 − β) E₀ − β E)`` from β = 0 to 1, where ``E₀`` is the energy of
    the density at the start. Each level costs one gradient of ``E`` and of ``E₀``. The start is the
    proposal, defended by the base measure: a mixture of both (Hesterberg 1995), so that mass of the
    model where the proposal has none is not lost. Without a proposal it is the base measure.

    A pilot run of at most a quarter of the levels chooses the values of β, so that weights spread
    evenly along the path, the step sizes, and the shares of the mixture, for each replicate. The
    main run uses them with other random numbers, so its weights are unbiased: ``E[w] = Z``. The
    logarithm of their mean is too low on average, and far too low where few chains carry the
    weight: then the standard error of the delta method, which cannot exceed 1, is too small, and
    ``converged`` is 0.

    Weights cannot reveal a mode that no chain has found. Chains that start elsewhere and return to
    the start of the path can: where they come from a mode that was missed, their weights are
    larger. They start where a pilot run from the base measure ended, and half of them at data where
    there are any. Bennett's acceptance ratio combines the weights of both directions; what it adds
    to the estimate, at most, is ``missing``, and ``converged`` is 0 where that is more than two
    standard errors. A mode of the model that is far from the data and the base measure remains
    unseen. The estimate itself does not depend on these
    points, which are no samples of the model.

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
        Points where the mass is expected, or exact samples of the model; every second one is used.
    proposal : Proposal, optional
        A density near that of the model.
    best_start : bool
        Whether replicates start at the base measure alone in spite of a proposal, where its chains
        in the pilot run end with next to none of the mass that the pilot runs find. They can hold
        much weight halfway, and then keep others from the path that leads there.

    Returns
    -------
    Normaliser
        With the effective sample size ``(Σw)² / Σw²``.

    References
    ----------
    Neal, "Annealed importance sampling", 2001, arXiv:physics/9803008. Sohl-Dickstein and
    Culpepper, "Hamiltonian annealed importance sampling for partition function estimation", 2012,
    arXiv:1205.1925. Zhou, Johansen and Aston, 2016, arXiv:1303.3123, for the path. Hesterberg,
    "Weighted average importance sampling and defensive mixture distributions", 1995,
    doi:10.1080/00401706.1995.10484303. Bennett, "Efficient estimation of free energy differences
    from Monte Carlo data", 1976, doi:10.1016/0021-9991(76)90078-4. Grosse, Ghahramani and Adams,
    "Sandwiching the marginal likelihood using bidirectional Monte Carlo", 2015, arXiv:1511.02543.
    """
    start = Start(energy, proposal)
    pilot_levels = max(1, levels // 4)
    pilot = find(energy, start, streams.child("pilot"), chains, pilot_levels)
    path, ends = pilot.path.divide(levels), pilot.ends
    if proposal is not None:
        other = find(energy, Start(energy), streams.child("elsewhere"), chains, pilot_levels)
        ends = other.ends
        if best_start:
            theirs = pilot.log_ratio + (-pilot.share).log1p()
            start.alone = theirs < other.log_ratio.maximum(pilot.log_ratio) + math.log(_NONE)
            path = Path(*map(start.choose, other.path.divide(levels), path))
    main = streams.child("weights")
    u, _ = start.draw(chains, main, pilot.share)
    if start.alone.all():
        start.proposal = None  # which would be evaluated in vain
    weights, u = _anneal(energy, start, main, u, path)
    total = weights.logsumexp(1)
    effective = (2 * total - (2 * weights).logsumexp(1)).exp()
    error = ((chains / effective - 1).clamp_min(0) / (chains - 1)).sqrt()
    log_z = total - math.log(chains)
    points = [ends] if data is None else [ends[:, ::2], rescale(energy, data)[:, ::2]]
    back = streams.child("data")
    returned, _ = _anneal(energy, start, back, torch.cat(points, 1), path, backward=True)
    ratios = [
        acceptance_ratio(weights, part)
        for part in returned.split([part.shape[1] for part in points], 1)
    ]
    missing = torch.stack(ratios).amax(0) - log_z
    enough = missing <= (_ERRORS * error).clamp_min(_NATS)
    details = {
        "converged": (enough & (effective >= _ENOUGH * chains)).double(),
        "effective_sample_size": effective,
        "missing": missing,
    }
    ended = energy.location + energy.scale * u, weights.softmax(1)
    return Normaliser(log_z + start.log_volume.squeeze(1), error, details, ended)


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


def _anneal(
    energy: Energy, start: Start, streams: Streams, u: Tensor, path: Path, backward: bool = False
) -> tuple[Tensor, Tensor]:
    """Move chains along the path, to log-weights (R, chains) in float64 and their last points.

    Backward, each transition is the reversal of the forward one: that of the momentum, which is
    drawn anew, needs no turn.
    """
    levels = path.steps.shape[1]
    state = init(energy, u, streams.normal_like(u), start)
    weights = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    for k in reversed(range(levels)) if backward else range(levels):
        beta, step = path.betas[:, k + 1, None], path.steps[:, k, None]
        gain = beta - path.betas[:, k, None]
        if not backward:
            weights -= gain * state.excess.double()
        state, _ = move(energy, streams, state, step, beta, start)
        if backward:
            weights -= gain * state.excess.double()
    return weights, state.u
