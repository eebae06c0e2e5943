"""Distributions of known loss, and what objectives are compared with."""

from itertools import product

import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Streams

R = 2


def standard_normal(dimension):
    return energies.create("quadratic", event_shape=(dimension,), replicates=R).double()


def normal_data(n, dimension, seed=0):
    return Streams(seed, R).normal(n, dimension, dtype=torch.float64)


def signs(dimension):
    """All sign vectors, shape (R, 2^d, d): mean 0 and covariance I, exactly."""
    vectors = torch.tensor(list(product([-1.0, 1.0], repeat=dimension))).double()
    return vectors.expand(R, -1, -1)


def crossed(x, z):
    """Every row of (R, N, d) with every row of (R, M, d), each of shape (R, N M, d)."""
    n, m = x.shape[1], z.shape[1]
    return x.repeat_interleave(m, 1), z.repeat(1, n, 1)


def create(name, energy, data, **settings):
    objective = objectives.create(name, **settings)
    objective.setup(energy, data, Streams(11, R))
    return objective


def everywhere(value, expected):
    torch.testing.assert_close(value, torch.full_like(value, expected), rtol=1e-12, atol=1e-12)


def minimise(loss, parameters):
    """Minimise a deterministic loss to convergence."""
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=500,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
    )

    def closure():
        optimiser.zero_grad()
        value = loss().sum()
        value.backward()
        return value

    optimiser.step(closure)
