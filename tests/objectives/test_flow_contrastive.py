"""The game of energy and flow: whose turn it is, and a flow that leaves the data."""

import pytest
import torch

from ebm_bench import energies, objectives, registry
from ebm_bench.optim.adam import Optimiser
from ebm_bench.plugins.checks.objectives import variants
from ebm_bench.streams import Streams

R = 3


def game(shape=(2,), n=200, **settings):
    """An energy and a fitted flow, with the data."""
    name = "mlp" if len(shape) == 1 else "conv"
    size = {"width": 8} if name == "mlp" else {"channels": 2}
    energy = energies.create(name, event_shape=shape, replicates=R, **size)
    data = Streams(1, R).normal(n, *shape)
    energy.fit(data)
    settings.setdefault("noise_settings", {"steps": 1, "batch_size": 16})
    objective = objectives.create("flow_contrastive", **settings)
    objective.setup(energy, data, Streams(2, R))
    return energy, objective, data


def train(energy, objective, data, steps):
    """Take steps; tells for each which of the players moved."""
    players = [energy, objective.distribution, objective.normaliser]
    groups = [[p for p in player.parameters() if p.requires_grad] for player in players]
    optimiser = Optimiser(groups, R, 1e-2, 1.0, steps)
    moved = []
    for step in range(steps):
        before = [[p.detach().clone() for p in group] for group in groups]
        optimiser.step(objective.loss(energy, data[:, :32], Streams(3, R)), step)
        moved.append(
            tuple(
                any(not torch.equal(p, old) for p, old in zip(group, olds, strict=True))
                for group, olds in zip(groups, before, strict=True)
            )
        )
    return moved


@pytest.mark.parametrize("energy_steps", [1, 2, 3])
def test_the_flow_is_updated_in_its_turn(energy_steps):
    moved = train(*game(energy_steps=energy_steps), steps=6)
    assert moved == [(True, (step + 1) % energy_steps == 0, True) for step in range(6)]


def test_tuning_searches_the_ratio_of_rates_and_the_alternation():
    entry = registry.describe("objectives", "flow_contrastive")
    assert {"flow_rate", "energy_steps"} <= entry.search.keys()
    for name, values in entry.search.items():
        assert entry.settings[name][1] in values


def shifted(objective, replicate, by):
    objective.distribution.flow.mean[replicate] += torch.as_tensor(by)
    return objective


@pytest.mark.parametrize("by", [10.0, -10.0, (0.0, 10.0), torch.nan, torch.inf], ids=str)
def test_a_flow_outside_the_range_of_the_data_has_escaped(by):
    energy, objective, _ = game()
    assert not objective.escaped(energy, Streams(4, R)).any()
    found = shifted(objective, 1, by).escaped(energy, Streams(4, R))
    assert found.tolist() == [False, True, False]


def test_a_flow_that_is_somewhat_wide_has_not_escaped():
    energy, objective, _ = game(n=2000)
    objective.distribution.flow.scale *= 1.3
    assert not objective.escaped(energy, Streams(4, R)).any()
    objective.distribution.flow.scale *= 5
    assert objective.escaped(energy, Streams(4, R)).all()


def test_a_flow_of_images_escapes_too():
    energy, objective, _ = game((1, 4, 4))
    assert not objective.escaped(energy, Streams(4, R)).any()
    assert shifted(objective, 0, 50.0).escaped(energy, Streams(4, R)).tolist() == [1, 0, 0]


def test_a_flow_as_wide_as_images_has_not_escaped():
    """Of a normal density with the moments of uniform pixels some are outside in every sample."""
    energy, objective, data = game((1, 16, 16))
    pixels = torch.rand(data.shape, generator=torch.Generator().manual_seed(0))
    objective.fit(energy, pixels, Streams(2, R))
    x = objective.distribution.sample(200, Streams(5, R))
    outside = ((x < objective.low) | (x > objective.high)).flatten(2)
    assert outside.any(2).double().mean() > 0.5
    assert not objective.escaped(energy, Streams(4, R)).any()
    assert shifted(objective, 1, 0.9).escaped(energy, Streams(4, R)).tolist() == [0, 1, 0]


def test_the_range_is_in_a_checkpoint():
    energy, objective, _ = game()
    other = objectives.create("flow_contrastive", noise_settings={"steps": 1, "batch_size": 16})
    other.build(energy)
    other.load_state_dict(shifted(objective, 2, 10.0).state_dict())
    assert other.escaped(energy, Streams(4, R)).tolist() == [False, False, True]


@pytest.mark.parametrize("name", objectives.names())
def test_nothing_else_escapes(name):
    energy = energies.create("quadratic", event_shape=(2,), replicates=R)
    data = Streams(1, R).normal(64, 2)
    objective = objectives.create(name, **next(variants(name)))
    objective.setup(energy, data, Streams(2, R))
    found = objective.escaped(energy, Streams(4, R))
    assert found.dtype == torch.bool
    assert found.tolist() == [False] * R
