"""Every registered sampler keeps the contract, and each finds the density it should."""

from dataclasses import dataclass

import pytest
import torch

from ebm_bench import energies, samplers
from ebm_bench.derivatives.for_samplers import gradient, half_square, rescale, value_and_grad
from ebm_bench.energies.base import Energy
from ebm_bench.plugins.checks.samplers import CHECKS, TOLERANCE, Case, start
from ebm_bench.samplers.leapfrog import init, leapfrog
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class HalfNormal(Energy):
    def build(self, streams):
        pass

    def forward(self, x):
        return torch.where(x[..., 0] > 0, 0.5 * x[..., 0] ** 2, torch.inf)


ACTIVATIONS = ("silu", "softplus", "tanh", "gelu", "relu", "leaky_relu")
NETWORKS = [
    *[("mlp", (3,), {"activation": a}) for a in ACTIVATIONS],
    ("conv", (1, 5, 6), {"channels": 2}),
    ("quadratic", (3,), {}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", samplers.names())
def test_contract(name, check):
    check(Case(name))


def variance(sampler, **settings):
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    chains = samplers.create(sampler, **settings)
    return chains.run(energy, 3 * start(2, 20_000, 1), Streams(0, 2)).var(1).squeeze(1)


def test_langevin_has_the_variance_that_its_step_allows():
    found = variance("langevin", steps=60, step_size=0.6)
    torch.testing.assert_close(found, torch.full((2,), 1 / 0.91), rtol=TOLERANCE, atol=0)


def test_hmc_has_no_bias_however_long_its_steps():
    found = variance("hmc", steps=30, leapfrog=2, step_size=1.2)
    torch.testing.assert_close(found, torch.ones(2), rtol=TOLERANCE, atol=0)


def test_trajectories_that_keep_their_momentum_turn_round_where_they_are_rejected():
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    streams, x = Streams(0, 2), start(2, 20_000, 1)
    state = init(energy, x, streams.normal_like(x))
    for _ in range(30):
        momentum = 0.9 * state.momentum + (1 - 0.9**2) ** 0.5 * streams.normal_like(x)
        state = state._replace(momentum=momentum)
        state, _ = leapfrog(energy, state, streams, torch.tensor(1.7), 1)
    torch.testing.assert_close(state.u.var(1), torch.ones(2, 1), rtol=TOLERANCE, atol=0)


def test_hmc_does_not_enter_where_there_is_no_mass():
    inside = start(1, 4000, 1).abs()
    moved = samplers.create("hmc").run(HalfNormal(event_shape=(1,)), inside, Streams(0))
    assert (moved > 0).all()
    assert moved.square().mean() == pytest.approx(1, abs=4 * (2 / 4000) ** 0.5)


@pytest.mark.parametrize(("name", "shape", "settings"), NETWORKS)
def test_gradients_are_those_of_automatic_differentiation(name, shape, settings):
    energy = energies.create(name, event_shape=shape, replicates=2, **settings).double()
    energy.fit(3 + 2 * start(2, 50, *shape, dtype=torch.float64))
    # More points than are evaluated at once.
    x = 4 * start(2, 2000, *shape, dtype=torch.float64)
    u = rescale(energy, x)
    point = x.clone().requires_grad_()
    value = energy(point)
    (expected,) = torch.autograd.grad(value.sum(), point)
    energy.evaluations = 0
    excess, slope = value_and_grad(energy, u)
    assert energy.evaluations == 2000
    assert not slope.requires_grad
    torch.testing.assert_close(excess + half_square(u), value.detach())
    torch.testing.assert_close((u + slope) / energy.scale, expected)
    torch.testing.assert_close(gradient(energy, x), expected)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_rejected_chains_stay_and_turn_round(name):
    energy = energies.create(name, event_shape=(1, 4, 4), replicates=3)
    x = start(3, 40, 1, 4, 4)
    state = init(energy, x, Streams(0, 3).normal_like(x))
    kept = [part.clone() for part in state]
    moved, acceptance = leapfrog(energy, state, Streams(0, 3), torch.tensor(1.2), 1)
    accepted = Streams(0, 3).uniform(40) < acceptance
    assert accepted.any()
    assert not accepted.all()
    assert torch.equal(moved.u[~accepted], x[~accepted])
    assert torch.equal(moved.momentum[~accepted], -state.momentum[~accepted])
    assert (moved.u[accepted] != x[accepted]).all()
    torch.testing.assert_close(init(energy, moved.u, moved.momentum), moved)
    assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))


def test_networks_with_layers_of_other_kinds_are_differentiated_too():
    energy = energies.create("mlp", event_shape=(3,), width=4)
    energy.layers.insert(1, torch.nn.Softsign())
    u = start(1, 5, 3)
    point = u.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy(point).sum(), point)
    torch.testing.assert_close(u + value_and_grad(energy, u)[1], expected)
