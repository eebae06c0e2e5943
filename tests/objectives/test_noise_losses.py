"""Closed forms of losses of data against noise that are not logistic."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Streams

R, NODES = 2, 4000


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def nodes(variance, n=NODES):
    """Points that stand for N(0, v), (R, n, 1)."""
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    found = torch.distributions.Normal(0.0, math.sqrt(variance)).icdf(middles)
    return found.view(1, n, 1).expand(R, -1, -1)


def log_density(x, variance):
    return torch.distributions.Normal(0.0, math.sqrt(variance)).log_prob(x).squeeze(2)


class Noise:
    """N(0, n), by its quantiles."""

    def __init__(self, variance):
        self.variance = variance

    def log_prob(self, x):
        return log_density(x, self.variance)

    def sample_with_log_prob(self, count, streams):
        points = nodes(self.variance, count)
        return points, self.log_prob(points)


def create(name, energy, noise, c=None, **settings):
    objective = objectives.create(name, noise="diagonal_gaussian", **settings)
    objective.build(energy)
    objective.double()
    del objective.distribution
    objective.distribution = Noise(noise)
    if c is not None:
        objective.normaliser.start.copy_(c.detach())
    return objective


@pytest.mark.parametrize(("data", "noise"), [(1.0, 1.0), (1.0, 4.0), (2.0, 3.0)])
def test_exponential_loss_of_the_truth_is_twice_the_overlap(data, noise):
    energy = gaussian(data)
    objective = create("exponential_noise_contrastive", energy, noise, energy.log_z)
    found = objective.loss(energy, nodes(data), None)
    expected = 2 * math.sqrt(2 * math.sqrt(data * noise) / (data + noise))
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize("shift", [0.0, -0.5, 1.0])
@pytest.mark.parametrize(("data", "noise"), [(1.0, 1.0), (1.0, 4.0)])
def test_self_normalized_likelihood_bounds_the_entropy(data, noise, shift):
    """Above it by ``δ + exp(−δ) − 1`` where c is off by δ."""
    energy = gaussian(data)
    objective = create("self_normalized_likelihood", energy, noise, energy.log_z + shift)
    x = math.sqrt(data) * torch.tensor([1.0, -1.0]).double().repeat(NODES // 2)
    found = objective.loss(energy, x.view(1, NODES, 1).expand(R, -1, -1), None)
    entropy = 0.5 * math.log(2 * math.pi * math.e * data)
    expected = entropy + shift + math.exp(-shift) - 1
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize("ratio", [1, 5])
def test_ranking_cannot_tell_the_truth_from_noise_that_is_the_truth(ratio):
    energy = gaussian(2.0)
    objective = create("ranking_noise_contrastive", energy, 2.0, ratio=ratio)
    found = objective.loss(energy, Streams(0, R).normal(20, 1, dtype=torch.float64), None)
    torch.testing.assert_close(found, torch.full_like(found, math.log(ratio + 1)))
    assert objective.log_z is None


def test_ranking_among_one_is_the_logistic_loss_of_differences():
    """``log(1 + w(y)/w(x))``: of noise-contrastive estimation no normaliser is left."""
    energy = gaussian(1.0)
    objective = create("ranking_noise_contrastive", energy, 4.0, ratio=1)
    x = Streams(0, R).normal(30, 1, dtype=torch.float64)
    y = nodes(4.0, 30)
    log_w = [-energy(points) - log_density(points, 4.0) for points in (x, y)]
    expected = torch.nn.functional.softplus(log_w[1] - log_w[0]).mean(1)
    torch.testing.assert_close(objective.loss(energy, x, None), expected)
