"""One Metropolis-adjusted trajectory of Hamiltonian dynamics, for whatever samples by it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebm_bench.samplers.base import value_and_gradient
from ebm_bench.streams import Streams

# Points (R, C, *event_shape), their energies (R, C), gradients and momenta.
State = tuple[Tensor, Tensor, Tensor, Tensor]


def trajectory(
    energy: nn.Module,
    state: State,
    streams: Streams,
    step: Tensor,
    leapfrog: int,
    potential: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = lambda x, e, g: (e, g),
) -> tuple[State, Tensor]:
    """Follow a leapfrog trajectory; accept its end, or stay and turn round.

    Leaves ``exp(−U(x) − ½‖momentum‖²)`` invariant. Neal (2011), "MCMC using Hamiltonian
    dynamics".

    Parameters
    ----------
    energy : Energy
        Evaluated once a leapfrog step.
    state : tuple of Tensor
        Points (R, C, *event_shape), their energies (R, C), gradients and momenta.
    streams : Streams
        Where the randomness comes from.
    step : Tensor of shape (R, 1, *event_shape)
        Length of a leapfrog step, per dimension.
    leapfrog : int
        Steps of the trajectory.
    potential : callable, optional
        Maps points, their energies and gradients to ``U`` and ``∇U``; the energy itself if
        not given.

    Returns
    -------
    state : tuple of Tensor
        Where the chains are now.
    acceptance : Tensor of shape (R, C)
        Probability with which each proposal was accepted; 0 where it was not finite.
    """
    x, value, gradient, momentum = state
    before, slope = potential(x, value, gradient)
    before = before + _kinetic(momentum)
    momentum = momentum - 0.5 * step * slope
    for index in range(leapfrog):
        x = x + step * momentum
        value, gradient = value_and_gradient(energy, x)
        after, slope = potential(x, value, gradient)
        last = index + 1 == leapfrog
        momentum = momentum - (0.5 if last else 1.0) * step * slope
    acceptance = (before - after - _kinetic(momentum)).exp().clamp_max(1).nan_to_num(0.0)
    accepted = streams.uniform(x.shape[1], dtype=x.dtype) < acceptance
    new, old = (x, value, gradient, momentum), (*state[:3], -state[3])
    chosen = (
        torch.where(accepted.view(*accepted.shape, *[1] * (a.dim() - 2)), a, b)
        for a, b in zip(new, old, strict=True)
    )
    return tuple(chosen), acceptance


def _kinetic(momentum: Tensor) -> Tensor:
    return 0.5 * momentum.flatten(2).square().sum(2)
