"""Leapfrog trajectories with a Metropolis step, in units of the energy's base measure."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.derivatives.for_samplers import half_square, rescale, unscale, value_and_grad
from ebm_bench.streams import Streams


class State(NamedTuple):
    """Position and momentum of the chains.

    Attributes
    ----------
    u : Tensor of shape (R, C, *event_shape)
        Points in units of the base measure.
    base : Tensor of shape (R, C)
        Energy of the base measure, ``½‖u‖²``.
    excess : Tensor of shape (R, C)
        Energy above that of the base measure, ``f = E − ½‖u‖²``.
    slope : Tensor of shape (R, C, *event_shape)
        ``∂f/∂u``.
    momentum : Tensor of shape (R, C, *event_shape)
        Momentum.
    """

    u: Tensor
    base: Tensor
    excess: Tensor
    slope: Tensor
    momentum: Tensor


def init(energy: Energy, u: Tensor, momentum: Tensor) -> State:
    """Create the state at points ``u`` with a momentum, each of shape (R, C, *event_shape)."""
    return State(u, half_square(u), *value_and_grad(energy, u), momentum)


def leapfrog(
    energy: Energy,
    state: State,
    streams: Streams,
    step_size: Tensor,
    steps: int = 1,
    beta: float = 1.0,
) -> tuple[State, Tensor]:
    """Propose the end of a leapfrog trajectory; a rejected chain stays and reverses its momentum.

    Leaves ``exp(−½‖u‖² − β f − ½‖momentum‖²)`` invariant.

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
    beta : float
        Weight of the excess: 0 is the base measure and 1 the energy.

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
    momentum = torch.addcmul(state.momentum, state.u, -0.5 * step_size)
    momentum.addcmul_(state.slope, -0.5 * beta * step_size)
    new = state
    for index in range(steps):
        new = init(energy, torch.addcmul(new.u, momentum, step_size), momentum)
        kick = -(0.5 if index + 1 == steps else 1.0) * step_size
        momentum.addcmul_(new.u, kick).addcmul_(new.slope, beta * kick)
    difference = _total(state, beta) - _total(new, beta)
    acceptance = difference.exp().clamp_max(1).nan_to_num(0.0)
    accepted = streams.uniform(momentum.shape[1], dtype=momentum.dtype) < acceptance
    # Few proposals are rejected: restoring those chains is cheaper than a choice for all.
    rejected = (~accepted).nonzero(as_tuple=True)
    new.u[rejected], new.slope[rejected] = state.u[rejected], state.slope[rejected]
    momentum[rejected] = -state.momentum[rejected]
    base = torch.where(accepted, new.base, state.base)
    excess = torch.where(accepted, new.excess, state.excess)
    return State(new.u, base, excess, new.slope, momentum), acceptance


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


def _total(state: State, beta: float) -> Tensor:
    return state.base + beta * state.excess + half_square(state.momentum)
