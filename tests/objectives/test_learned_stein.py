"""The learned Stein discrepancy: what the best critic finds, and whose turn it is."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.optim.adam import Optimiser
from ebm_bench.streams import Streams

R = 2


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def create(energy, **settings):
    objective = objectives.create("learned_stein_discrepancy", **settings)
    objective.build(energy)
    return objective.double()


class Linear(torch.nn.Module):
    """A critic ``f = w x``."""

    def __init__(self, slope):
        super().__init__()
        self.w = torch.nn.Parameter(torch.full((R, 1, 1), slope, dtype=torch.float64))

    def forward(self, x, v):
        return self.w * x, (self.w * v.square()).sum(2)


GAUSSIANS = pytest.mark.parametrize(("data", "model"), [(1.0, 1.0), (1.0, 2.0), (2.0, 0.7)])


@GAUSSIANS
@pytest.mark.parametrize("penalty", [0.5, 3.0])
def test_the_best_critic_of_gaussians(data, model, penalty):
    """``f* = (s − s_data)/2λ``, with the value ``E‖s − s_data‖²/4λ``: 0 at the truth."""
    energy = gaussian(model)
    x = math.sqrt(data) * torch.tensor([1.0, -1.0]).double().view(1, 2, 1).expand(R, -1, -1)
    objective = create(energy, penalty=penalty)
    best = (1 / data - 1 / model) / (2 * penalty)
    objective.critic = Linear(best)
    found = objective.loss(energy, x, Streams(0, R))
    expected = data * (1 / data - 1 / model) ** 2 / (4 * penalty)
    torch.testing.assert_close(found, torch.full_like(found, expected))
    (slope,) = torch.autograd.grad(found.sum(), objective.critic.w)
    torch.testing.assert_close(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("off", [0.1, -0.1])
def test_the_critic_climbs_while_the_energy_descends(off):
    energy = gaussian(2.0)
    x = torch.tensor([1.0, -1.0]).double().view(1, 2, 1).expand(R, -1, -1)
    objective = create(energy)
    objective.critic = Linear(0.5 + off)
    loss = objective.loss(energy, x, Streams(0, R))
    of_critic, of_energy = torch.autograd.grad(
        loss.sum(), [objective.critic.w, energy.log_diagonal]
    )
    # Stepping against these, the critic returns to its best, and the energy grows steeper.
    assert (of_critic.sign() == math.copysign(1, off)).all()
    assert (of_energy < 0).all()


@GAUSSIANS
def test_a_critic_network_finds_the_discrepancy(data, model):
    energy, streams = gaussian(model), Streams(0, R)
    objective = create(energy, width=8)
    weights = list(objective.critic.parameters())
    optimiser = Optimiser([weights], R, 3e-2, 10.0, steps=150)
    for step in range(150):
        x = math.sqrt(data) * streams.normal(512, 1, dtype=torch.float64)
        optimiser.step(objective.loss(energy, x, streams), step)
    middles = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    x = math.sqrt(data) * torch.distributions.Normal(0.0, 1.0).icdf(middles)
    found = objective.loss(energy, x.view(1, -1, 1).expand(R, -1, -1), streams)
    expected = data * (1 / data - 1 / model) ** 2 / 2
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0.1, atol=0.02)


def test_the_derivative_of_the_critic_is_that_of_automatic_differentiation():
    energy = energies.create("mlp", event_shape=(3,), replicates=R, width=4).double()
    data = Streams(1, R).normal(50, 3, dtype=torch.float64) * 2 + 1
    energy.fit(data)
    objective = objectives.create("learned_stein_discrepancy", width=5)
    objective.setup(energy, data, Streams(2, R))
    x, v = data[:, :4].clone().requires_grad_(), Streams(4, R).normal(4, 3, dtype=torch.float64)
    f, found = objective.critic(x, v)
    (product,) = torch.autograd.grad((f * v).sum(), x)
    torch.testing.assert_close(found, (product * v).sum(2))


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_energy_moves_in_its_turn(critic_steps, shape):
    name, size = ("mlp", {"width": 4}) if len(shape) == 1 else ("conv", {"channels": 2})
    energy = energies.create(name, event_shape=shape, replicates=R, **size)
    data = Streams(1, R).normal(64, *shape)
    objective = objectives.create("learned_stein_discrepancy", critic_steps=critic_steps, width=4)
    objective.setup(energy, data, Streams(2, R))
    groups = [list(energy.parameters()), list(objective.critic.parameters())]
    optimiser = Optimiser(groups, R, 1e-2, 1.0, 6)
    moved = []
    for step in range(6):
        before = [[p.detach().clone() for p in group] for group in groups]
        optimiser.step(objective.loss(energy, data, Streams(3, R)), step)
        moved.append(
            tuple(
                any(not torch.equal(p, old) for p, old in zip(group, olds, strict=True))
                for group, olds in zip(groups, before, strict=True)
            )
        )
    assert moved == [((step + 1) % critic_steps == 0, True) for step in range(6)]


def test_what_another_objective_was_given_is_taken_back():
    """An energy whose turn was every fifth step moves in every one beside another critic."""
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=4)
    create(energy, critic_steps=5)
    create(energy, critic_steps=1)
    assert {parameter.every for parameter in energy.parameters()} == {1}
