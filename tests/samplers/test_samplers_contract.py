"""Every registered sampler keeps the contract, and each finds the density it should."""

from dataclasses import dataclass

import pytest
import torch

from ebm_bench import energies, samplers
from ebm_bench.energies.base import Energy
from ebm_bench.samplers.base import value_and_gradient
from ebm_bench.samplers.hamiltonian import trajectory
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class HalfNormal(Energy):
    def build(self, streams):
        pass

    def forward(self, x):
        return torch.where(x[..., 0] > 0, 0.5 * x[..., 0] ** 2, torch.inf)


def start(replicates, chains, *shape, dtype=torch.float32):
    return Streams(1, replicates, scope=("start",)).normal(chains, *shape, dtype=dtype)


@pytest.fixture(params=samplers.names())
def sampler(request):
    return samplers.create(request.param)


def test_leaves_its_start_and_no_graph(sampler):
    energy = energies.create("mlp", event_shape=(2,), replicates=3, width=8)
    x = start(3, 5, 2)
    before = x.clone()
    moved = sampler.run(energy, x, Streams(0, 3))
    assert moved.shape == x.shape
    assert not moved.requires_grad
    assert torch.equal(x, before)
    assert moved.isfinite().all()
    assert (moved != x).any()
    assert all(p.grad is None for p in energy.parameters())


def test_a_replicate_alone_equals_itself_among_others(sampler):
    energy = energies.create("mlp", event_shape=(2,), replicates=3, width=8)
    alone = energies.create("mlp", event_shape=(2,), replicates=1, width=8)
    alone.load_state_dict({k: v[1:2] for k, v in energy.state_dict().items()})
    x = start(3, 5, 2)
    among = sampler.run(energy, x, Streams(0, 3))[1:2]
    torch.testing.assert_close(sampler.run(alone, x[1:2], Streams(0, [1])), among)


def test_steps_are_measured_in_the_scale(sampler):
    """Stretching the density stretches the chains, coordinate by coordinate."""
    stretch = torch.tensor([0.1, 30.0], dtype=torch.float64)
    round_, long = (energies.create("quadratic", event_shape=(2,)).double() for _ in range(2))
    long.log_diagonal.data -= stretch.log()
    long.scale.mul_(stretch)
    x = start(1, 5, 2, dtype=torch.float64)
    moved = sampler.run(round_, x, Streams(0))
    torch.testing.assert_close(sampler.run(long, x * stretch, Streams(0)), moved * stretch)


def variance(sampler, **settings):
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    chains = samplers.create(sampler, **settings)
    return chains.run(energy, 3 * start(2, 20_000, 1), Streams(0, 2)).var(1).squeeze(1)


# Four standard errors of the variance of 20,000 points.
TOLERANCE = 4 * (2 / 20_000) ** 0.5


def test_langevin_has_the_variance_that_its_step_allows():
    found = variance("langevin", steps=60, step_size=0.6)
    torch.testing.assert_close(found, torch.full((2,), 1 / 0.91), rtol=TOLERANCE, atol=0)


def test_hmc_has_no_bias_however_long_its_steps():
    found = variance("hmc", steps=30, leapfrog=2, step_size=1.2)
    torch.testing.assert_close(found, torch.ones(2), rtol=TOLERANCE, atol=0)


def test_trajectories_that_keep_their_momentum_turn_round_where_they_are_rejected():
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    streams, x = Streams(0, 2), start(2, 20_000, 1)
    state = (x, *value_and_gradient(energy, x), streams.normal_like(x))
    for _ in range(30):
        momentum = 0.9 * state[3] + (1 - 0.9**2) ** 0.5 * streams.normal_like(x)
        state, _ = trajectory(energy, (*state[:3], momentum), streams, torch.tensor(1.7), 1)
    torch.testing.assert_close(state[0].var(1), torch.ones(2, 1), rtol=TOLERANCE, atol=0)


def test_hmc_does_not_enter_where_there_is_no_mass():
    inside = start(1, 4000, 1).abs()
    moved = samplers.create("hmc").run(HalfNormal(event_shape=(1,)), inside, Streams(0))
    assert (moved > 0).all()
    assert moved.square().mean() == pytest.approx(1, abs=4 * (2 / 4000) ** 0.5)
