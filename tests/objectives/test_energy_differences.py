"""Closed forms of objectives that compare the energy of data with that of points nearby."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Streams

R = 2


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def pairs(n):
    """Well-spaced pairs of independent standard normal numbers, two of shape (R, n, 1)."""
    uniform = torch.quasirandom.SobolEngine(2).draw(n).double() + 0.5 / n
    first, second = torch.distributions.Normal(0.0, 1.0).icdf(uniform).unbind(1)
    return first.view(1, n, 1).expand(R, -1, -1), second.view(1, n, 1).expand(R, -1, -1)


def quantiles(n):
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.distributions.Normal(0.0, 1.0).icdf(middles)


class Given:
    """Draws that are given: those of `normal_like`, and of `normal` for each point."""

    def __init__(self, like=None, each=None):
        self.like, self.each = like, each

    def normal_like(self, x):
        return self.like

    def normal(self, count, *shape, dtype):
        return self.each.view(1, count, *[1] * len(shape)).expand(R, count, *shape)


class Constant(torch.nn.Module):
    def forward(self, x):
        return torch.full(x.shape[:2], 3.0, dtype=x.dtype)


def create(name, energy, **settings):
    objective = objectives.create(name, **settings)
    objective.build(energy)
    return objective


@pytest.mark.parametrize(("data", "model", "time"), [(1, 1, 1), (1, 2, 1), (2, 0.7, 0.3)])
def test_energy_discrepancy_of_gaussians(data, model, time):
    """Of infinitely many diffused points for each data point, without the weight."""
    x, there = pairs(4096)
    back = quantiles(512)
    energy = gaussian(model)
    objective = create("energy_discrepancy", energy, time=time, samples=len(back), weight=0.0)
    with torch.no_grad():
        found = objective.loss(energy, math.sqrt(data) * x, Given(there, back))
    expected = data / (2 * model) - (data + time) / (2 * (model + time))
    expected -= 0.5 * math.log(1 + time / model)
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=4e-3)


@pytest.mark.parametrize(("samples", "weight"), [(1, 1.0), (4, 1.0), (3, 0.5)])
def test_energy_discrepancy_knows_nothing_of_a_constant_energy(samples, weight):
    objective = objectives.create("energy_discrepancy", samples=samples, weight=weight)
    x = Streams(0, R).normal(50, 2, dtype=torch.float64)
    found = objective.loss(Constant(), x, Streams(1, R))
    expected = math.log((weight + samples) / samples)
    torch.testing.assert_close(found, torch.full_like(found, expected))


@pytest.mark.parametrize(("variance", "epsilon"), [(1.0, 0.5), (1.0, 1.0), (0.5, 0.7)])
def test_minimum_probability_flow_of_the_truth(variance, epsilon):
    x, steps = pairs(2**15)
    energy = gaussian(variance)
    objective = create("minimum_probability_flow", energy, epsilon=epsilon)

    class Steps:
        def normal(self, count, *shape, dtype):
            return steps.unsqueeze(1)

    with torch.no_grad():
        found = objective.loss(energy, math.sqrt(variance) * x, Steps())
    expected = (1 + epsilon**2 / (4 * variance)) ** -0.5
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=2e-3)


def curved(n=7):
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=6).double()
    return energy, Streams(3, R).normal(n, 2, dtype=torch.float64)


AXES = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).double()


def test_minimum_probability_flow_of_short_steps_is_score_matching():
    """Steps of ±εeᵢ√2 have the moments of normal ones, so that there is no sampling error."""
    energy, data = curved()
    exact = create("exact_score_matching", energy).loss(energy, data, None)

    class Axes:
        def normal(self, ratio, *shape, dtype):
            return (math.sqrt(2) * AXES).view(4, 1, 2).expand(R, 4, *shape)

    def found(epsilon):
        objective = create("minimum_probability_flow", energy, epsilon=epsilon, ratio=4)
        return 4 * (objective.loss(energy, data, Axes()) - 1) / epsilon**2

    errors = [(found(epsilon) - exact).abs().max().item() for epsilon in (0.1, 0.05)]
    assert errors[0] < 0.05
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.1)


@pytest.mark.parametrize("epsilon", [0.1, 2.0])
@pytest.mark.parametrize(("data", "model"), [(1.0, 1.0), (2.0, 0.5)])
def test_finite_differences_of_a_quadratic_energy_are_exact(data, model, epsilon):
    """``s/2v² − 1/v`` for data of variance s and a model of variance v."""
    energy = gaussian(model)
    x = math.sqrt(data) * torch.tensor([1.0, -1.0]).double().view(1, 2, 1).expand(R, -1, -1)
    objective = create("finite_difference_score_matching", energy, epsilon=epsilon)
    found = objective.loss(energy, x, Streams(0, R))
    expected = data / (2 * model**2) - 1 / model
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=1e-10, atol=1e-10)


def test_short_differences_are_score_matching():
    """Along the axes, whose mean is that over the sphere for what is quadratic."""
    energy, data = curved()
    exact = create("exact_score_matching", energy).loss(energy, data, None)

    def found(epsilon):
        objective = create("finite_difference_score_matching", energy, epsilon=epsilon)
        along = [objective.loss(energy, data, Given(axis.expand_as(data).clone())) for axis in AXES]
        return sum(along) / len(along)

    errors = [(found(epsilon) - exact).abs().max().item() for epsilon in (0.1, 0.05)]
    assert errors[0] < 0.05
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.1)
