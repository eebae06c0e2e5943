"""Gaussian energies at noise levels, beside data that are one Gaussian."""

import math

import torch

from ebm_bench import energies, objectives
from ebm_bench.datasets.planar import GaussianSum
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams

LOW, HIGH, LEVELS = 0.25, 1.0, 5


class OneNormal(GaussianSum):
    """A standard normal in the plane, as a mixture of one."""

    centres, weights = torch.zeros(1, 2), torch.ones(1)

    def sample(self, n, streams, split="train"):
        return streams.normal(n, 2)


def smoothed(sd):
    """A Gaussian energy, continued on a ladder of noise."""
    energy = energies.create("quadratic", event_shape=(2,), replicates=2)
    settings = {"sigma": LOW, "ratio": HIGH / LOW}
    objective = objectives.create("diffusion_recovery_likelihood", **settings)
    objective.build(energy)
    torch.nn.init.constant_(energy.log_diagonal, -math.log(sd))
    return Model(energy, OneNormal(), None, Streams(0, 2), objective=objective)


def divergence_of_smoothed(sd):
    """Mean over levels of the Fisher divergence of N(0, sd² + v) from N(0, 1 + v)."""
    added = [LOW**2 * (HIGH / LOW) ** (2 * i / LEVELS) - LOW**2 for i in range(LEVELS)]
    return sum(2 * (1 + v) * (1 / (1 + v) - 1 / (sd**2 + v)) ** 2 for v in added) / LEVELS
