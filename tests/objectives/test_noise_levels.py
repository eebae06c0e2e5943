"""Closed forms of objectives whose energies have a noise level, for Gaussians."""

import math

import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Replay

R = 2
# As many points of equal weight as have the moments of a standard normal up to the fifth.
NODES = math.sqrt(3) * torch.tensor([-1.0, 0, 0, 0, 0, 1], dtype=torch.float64)


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def pairs(repeats=1):
    """All pairs of nodes, one after the other for each level: two of shape (R, repeats 36, 1)."""
    both = torch.cartesian_prod(NODES, NODES).repeat(repeats, 1)
    return both[:, :1].expand(R, -1, 1), both[:, 1:].expand(R, -1, 1)


HALF = torch.full((R, 1), 0.5, dtype=torch.float64)


def build(name, energy, **settings):
    objective = objectives.create(name, **settings)
    objective.build(energy)
    return objective.double()


def test_multi_noise_denoising_of_the_smoothed_density():
    """``½ v/(v + σ²)`` is what remains at a level σ for data of variance v, and no slope."""
    variance, sigma, ratio, levels = 1.7, 0.3, 12.0, 4
    z, noise = pairs(levels)
    energy = gaussian(variance + sigma**2)
    objective = build("multi_noise_denoising", energy, sigma=sigma, ratio=ratio, levels=levels)
    loss = objective.loss(energy, math.sqrt(variance) * z, Replay([HALF, noise]))
    steps = ratio ** torch.linspace(0, 1, levels, dtype=torch.float64)
    expected = 0.5 * (variance / (variance + (sigma * steps) ** 2)).mean()
    torch.testing.assert_close(loss, expected.expand(R))
    (slope,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    torch.testing.assert_close(slope, torch.zeros_like(slope))
