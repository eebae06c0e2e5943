"""Leapfrog trajectories with a Metropolis step, in units of the energy's base measure."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy, is_at_hand
from ebm_bench.derivatives.for_samplers import half_square, rescale, unscale, value_and_grad
from ebm_bench.streams import Streams

# Maps points (R, C, *event_shape), in units of the base measure, to their energy (R, C) in the
# density where a path starts, and to its gradient.
Start = Callable[[Tensor], tuple[Tensor, Tensor]]


class State(NamedTuple):
    """Position and momentum of the chains.

    Attributes
    ----------
    u : Tensor of shape (R, C, *event_shape)
        Points in units of the base measure.
    start : Tensor of shape (R, C)
        Energy ``E₀`` of the density where the path starts: ``½‖u‖²`` of the base measure.
    pull : Tensor of shape (R, C, *event_shape)
        ``∂E₀/∂u``: of the base measure ``u`` itself, the same tensor.
    excess : Tensor of shape (R, C)
        Energy above that, ``f = E − E₀``.
    slope : Tensor of shape (R, C, *event_shape)
        ``∂f/∂u``.
    momentum : Tensor of shape (R, C, *event_shape)
        Momentum.
    """

    u: Tensor
    start: Tensor
    pull: Tensor
    excess: Tensor
    slope: Tensor
    momentum: Tensor


def init(energy: Energy, u: Tensor, momentum: Tensor, start: Start | None = None) -> State:
    """Create the state at points with a momentum, each of shape (R, C, *event_shape).

    Without a start, the path starts at the base measure.
    """
    base, (excess, slope) = half_square(u), value_and_grad(energy, u)
    value, pull = (base, u) if start is None else start(u)
    if pull is u:
        return State(u, base, u, excess, slope, momentum)
    return State(u, value, pull, excess + (base - value), slope.add_(u - pull), momentum)


def leapfrog(
    energy: Energy,
    state: State,
    streams: Streams,
    step_size: Tensor,
    steps: int = 1,
    beta: float | Tensor = 1.0,
    start: Start | None = None,
) -> tuple[State, Tensor]:
    """Propose the end of a leapfrog trajectory; a rejected chain stays and reverses its momentum.

    Leaves ``exp(−E₀ − β f − ½‖momentum‖²)`` invariant.

    Parameters
    ----------
    energy : Energy
        Evaluated once per leapfrog step.
    state : State
        State of the chains; not changed.
    streams : Streams
        Source of randomness.
    step_size : Tensor of shape () or (R, 1, *1)
        Length of a leapfrog step, in units of the base measure.
    steps : int
        Leapfrog steps of the trajectory.
    beta : float or Tensor of shape (R, 1)
        Weight of the excess: 0 is the density where the path starts, and 1 the energy.
    start : Start, optional
        Where the path starts, if not at the base measure: that of ``state``.

    Returns
    -------
    state : State
        New state of the chains.
    acceptance : Tensor of shape (R, C)
        Acceptance probability of each proposal; 0 where it was not finite.

    References
    ----------
    Neal, "MCMC using Hamiltonian dynamics", 2011, arXiv:1206.1901.
    """
    share = beta
    if isinstance(beta, Tensor):
        share = beta.to(state.u.dtype).view(-1, *[1] * (state.u.dim() - 1))
    momentum = torch.addcmul(state.momentum, state.pull, -0.5 * step_size)
    momentum.addcmul_(state.slope, -0.5 * share * step_size)
    new = state
    for index in range(steps):
        new = init(energy, torch.addcmul(new.u, momentum, step_size), momentum, start)
        kick = -(0.5 if index + 1 == steps else 1.0) * step_size
        momentum.addcmul_(new.pull, kick).addcmul_(new.slope, share * kick)
    difference = _total(state, beta) - _total(new, beta)
    acceptance = difference.exp().clamp_max(1).nan_to_num(0.0)
    accepted = streams.uniform(momentum.shape[1], dtype=momentum.dtype) < acceptance
    restored = [(new.u, state.u), (new.slope, state.slope), (momentum, -state.momentum)]
    if new.pull is not new.u:
        restored.append((new.pull, state.pull))
    _restore(~accepted, restored)
    value = torch.where(accepted, new.start, state.start)
    excess = torch.where(accepted, new.excess, state.excess)
    return State(new.u, value, new.pull, excess, new.slope, momentum), acceptance


def _restore(rejected: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Put former values of chains, (R, C, ...), in the place of the new ones of some, (R, C)."""
    if is_at_hand(rejected):
        # Few proposals are rejected: restoring those chains is cheaper than a choice for all.
        rows = rejected.nonzero(as_tuple=True)
        for new, old in pairs:
            new[rows] = old[rows]
    else:
        for new, old in pairs:
            choice = rejected.view(*rejected.shape, *[1] * (new.dim() - rejected.dim()))
            new.copy_(torch.where(choice, old, new))


def hamiltonian(
    energy: Energy, x: Tensor, streams: Streams, trajectories: int, step_size: float, steps: int = 1
) -> Tensor:
    """Move chains (R, C, *event_shape) along trajectories, each with a momentum of its own.

    Parameters
    ----------
    energy, x, streams
        As for `Sampler.run`.
    trajectories : int
        Number of trajectories of each chain.
    step_size, steps : float, int
        As for `leapfrog`.
    """
    u = rescale(energy, x)
    state, step = init(energy, u, torch.zeros_like(u)), u.new_tensor(step_size)
    for _ in range(trajectories):
        state = state._replace(momentum=streams.normal_like(u))
        state, _ = leapfrog(energy, state, streams, step, steps)
    return unscale(energy, state.u)


def _total(state: State, beta: float | Tensor) -> Tensor:
    return state.start + beta * state.excess + half_square(state.momentum)
