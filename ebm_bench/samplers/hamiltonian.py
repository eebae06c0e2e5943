"""Metropolis-adjusted Hamiltonian dynamics, for whatever samples by it.

Chains are followed in units of the energy's base measure, ``u = (x − location) / scale``.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ebm_bench.derivatives.frozen import excess_and_slope, half_square
from ebm_bench.streams import Streams


class State(NamedTuple):
    """Where chains are.

    Attributes
    ----------
    u : Tensor of shape (R, C, *event_shape)
        Points in units of the base measure.
    base : Tensor of shape (R, C)
        Energy of the base measure, ``½‖u‖²``.
    excess : Tensor of shape (R, C)
        What the energy has above that, ``f = E − ½‖u‖²``.
    slope : Tensor of shape (R, C, *event_shape)
        ``∂f/∂u``.
    momentum : Tensor of shape (R, C, *event_shape)
    """

    u: Tensor
    base: Tensor
    excess: Tensor
    slope: Tensor
    momentum: Tensor


def place(energy: nn.Module, u: Tensor, momentum: Tensor) -> State:
    """Put chains at points ``u`` with a momentum, each of shape (R, C, *event_shape)."""
    return State(u, half_square(u), *excess_and_slope(energy, u), momentum)


def trajectory(
    energy: nn.Module,
    state: State,
    streams: Streams,
    step: Tensor,
    leapfrog: int,
    beta: float = 1.0,
) -> tuple[State, Tensor]:
    """Follow a leapfrog trajectory; accept its end, or stay and turn round.

    Leaves ``exp(−½‖u‖² − β f − ½‖momentum‖²)`` invariant. Neal (2011), "MCMC using
    Hamiltonian dynamics".

    Parameters
    ----------
    energy : Energy
        Evaluated once a leapfrog step.
    state : State
        Where the chains are; not changed.
    streams : Streams
        Where the randomness comes from.
    step : Tensor of shape () or (R, 1, *1)
        Length of a leapfrog step, in units of the base measure.
    leapfrog : int
        Steps of the trajectory.
    beta : float
        How much of the excess counts: 0 is the base measure and 1 the energy.

    Returns
    -------
    state : State
        Where the chains are now.
    acceptance : Tensor of shape (R, C)
        Probability with which each proposal was accepted; 0 where it was not finite.
    """
    momentum = torch.addcmul(state.momentum, state.u, -0.5 * step)
    momentum.addcmul_(state.slope, -0.5 * beta * step)
    new = state
    for index in range(leapfrog):
        new = place(energy, torch.addcmul(new.u, momentum, step), momentum)
        kick = -(0.5 if index + 1 == leapfrog else 1.0) * step
        momentum.addcmul_(new.u, kick).addcmul_(new.slope, beta * kick)
    difference = _total(state, beta) - _total(new, beta)
    acceptance = difference.exp().clamp_max(1).nan_to_num(0.0)
    accepted = streams.uniform(momentum.shape[1], dtype=momentum.dtype) < acceptance
    # Few stay: to put their points back costs less than to choose for all.
    stay = (~accepted).nonzero(as_tuple=True)
    new.u[stay], new.slope[stay] = state.u[stay], state.slope[stay]
    momentum[stay] = -state.momentum[stay]
    base = torch.where(accepted, new.base, state.base)
    excess = torch.where(accepted, new.excess, state.excess)
    return State(new.u, base, excess, new.slope, momentum), acceptance


def _total(state: State, beta: float) -> Tensor:
    return state.base + beta * state.excess + half_square(state.momentum)
