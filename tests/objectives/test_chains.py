"""Closed forms of objectives that learn from chains: their slopes, weights and log Z."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Replay, Streams

R = 2


def gaussian(variance, dimension=1, replicates=R):
    """An energy ``‖x‖²/2v``."""
    energy = energies.create("quadratic", event_shape=(dimension,), replicates=replicates).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def nodes(variance, n=4000):
    """Points that stand for N(0, v), (R, n, 1)."""
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    points = math.sqrt(variance) * math.sqrt(2) * torch.erfinv(2 * middles - 1)
    return points.view(1, n, 1).expand(R, -1, -1)


def rows(*values):
    return torch.tensor(values).double().view(1, -1, 1).expand(R, -1, -1)


class Ending:
    """Chains that end at given points, wherever they start."""

    def __init__(self, points):
        self.points = points

    def run(self, energy, x, streams):
        return self.points


def create(name, energy, ends=None, **settings):
    objective = objectives.create(name, **settings)
    objective.build(energy)
    if ends is not None:
        objective.sampler = Ending(ends)
    return objective.double()


def score(data, model, gamma):
    """Pseudo-spherical score of N(0, v) for data of N(0, s), to be minimised."""
    first = torch.log(1 + gamma * data / model) / (2 * gamma)
    return first + 0.5 * torch.log(2 * math.pi * model / (1 + gamma)) / (1 + gamma)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("data", "model"), [(1.0, 1.0), (2.0, 0.7), (0.5, 3.0)])
def test_pseudo_spherical_has_the_slope_of_the_score(data, model, gamma):
    energy = gaussian(model)
    objective = create("pseudo_spherical", energy, nodes(model), gamma=gamma)
    loss = objective.loss(energy, nodes(data), None)
    (found,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    log_precision = torch.tensor(-0.5 * math.log(model), dtype=torch.float64, requires_grad=True)
    value = score(data, torch.exp(-2 * log_precision), gamma)
    (expected,) = torch.autograd.grad(value, log_precision)
    torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=2e-3)
    if data == model:
        integral = (2 * math.pi * data) ** (-gamma / 2) / math.sqrt(1 + gamma)
        assert value.item() == pytest.approx(-math.log(integral) / (gamma * (1 + gamma)))


def test_pseudo_spherical_of_a_small_power_is_contrastive_divergence():
    energy, data = gaussian(0.5, 2), Streams(0, R).normal(30, 2, dtype=torch.float64)
    losses = [
        create(name, energy, **settings).loss(energy, data, Streams(1, R))
        for name, settings in (
            ("pseudo_spherical", {"gamma": 1e-7}),
            ("contrastive_divergence", {}),
        )
    ]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entropy", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("variance", "scale"), [(1.0, 1.0), (0.4, 2.0)])
def test_improved_contrastive_divergence_has_the_slope_of_a_linear_step(entropy, variance, scale):
    """A step is ``y = (1 − ½(εs)² a) b + εs n`` at precision a: all slopes are known."""
    energy, precision, epsilon = gaussian(variance), 1 / variance, 0.3
    energy.scale.fill_(scale)
    before, noise, data = rows(-1.0, 0.4, 2.0), rows(0.3, -0.2, 0.5), rows(1.5, -0.5)
    settings = {"entropy": entropy, "step_size": epsilon}
    objective = create("improved_contrastive_divergence", energy, before, **settings)
    loss = objective.loss(energy, data, Replay([noise]))
    (found,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    step = epsilon * scale
    after = (1 - 0.5 * step**2 * precision) * before + step * noise
    moving = -(step**2) * precision * before  # by the logarithm of the square root of a
    nearest = rows(0.4, -1.0, 0.4)
    expected = precision * (data.square().mean(1) - after.square().mean(1))
    expected = expected + (precision * after * moving).mean(1)
    expected = expected - entropy * (moving / (after - nearest)).mean(1)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_improved_contrastive_divergence_leaves_chains_of_the_model_where_they_are():
    """There the divergence of the chains has no slope: that of the entropy is d, here 2."""
    replicates = 300
    energy, streams = gaussian(1.0, 2, replicates), Streams(2, replicates)
    before = streams.normal(40, 2, dtype=torch.float64)
    settings = {"step_size": 0.1, "chains": 40}
    objective = create("improved_contrastive_divergence", energy, before, **settings)
    noise = streams.normal_like(before)
    data = (1 - 0.5 * 0.1**2) * before + 0.1 * noise  # where the chains end
    loss = objective.loss(energy, data, Replay([noise]))
    (found,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    total = found.sum(1).mean() / 0.1**2
    assert total.item() == pytest.approx(0.0, abs=0.35)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_walkers_know_log_z_at_every_step(threshold):
    """``E exp(A) = Z`` while the energy changes, with and without resampling; its slope too."""
    energy, streams = gaussian(1.0, 2), Streams(0, R)
    data = streams.child("data").normal(5, 2, dtype=torch.float64)
    energy.location.fill_(0.1)
    energy.scale.copy_(torch.tensor([1.2, 1.0]))
    settings = {"steps": 2, "step_size": 0.8, "walkers": 8000, "threshold": threshold}
    objective = create("jarzynski_contrastive_divergence", energy, **settings)
    objective.fit(energy, data, streams)
    for variance in (1.0, 0.7, 0.4, 0.3, 0.5, 0.8, 1.1):
        torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
        found = objective.loss(energy, data, streams)
        expected = energy(data).mean(1) + energy.log_z
        torch.testing.assert_close(found, expected, rtol=0, atol=0.06)
        slopes = [torch.autograd.grad(one.sum(), energy.log_diagonal) for one in (found, expected)]
        torch.testing.assert_close(*slopes, rtol=0, atol=0.2)
        torch.testing.assert_close(objective.log_z, energy.log_z, rtol=0, atol=0.06)


class TwoModes(torch.nn.Module):
    """A mixture of N(−6, 1) and N(6, 1), in which no chain goes from one to the other."""

    event_shape, replicates = (1,), R

    def __init__(self, share):
        super().__init__()
        self.share = share
        self.location, self.scale = torch.zeros(R, 1, 1).double(), torch.ones(R, 1, 1).double()

    def forward(self, x):
        left = math.log(self.share) - 0.5 * (x + 6).square()
        right = math.log(1 - self.share) - 0.5 * (x - 6).square()
        return -torch.logaddexp(left, right).squeeze(2)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_weights_of_modes_follow_where_walkers_do_not(threshold):
    walkers, streams = 1000, Streams(0, R)
    settings = {"steps": 1, "walkers": walkers, "threshold": threshold}
    objective = create("jarzynski_contrastive_divergence", gaussian(1.0), **settings)
    energy = TwoModes(0.5)
    start = streams.normal(walkers, 1, dtype=torch.float64)
    start[:, : walkers // 2] -= 6
    start[:, walkers // 2 :] += 6
    objective.states.copy_(start)
    objective.energies.copy_(energy(start))
    for share in (0.6, 0.7, 0.8, 0.9, 0.95, 0.9):
        energy.share = share
        objective.loss(energy, start[:, :3], streams)
        weights = objective.log_weights.softmax(1)
        found = (weights * (objective.states.squeeze(2) < 0)).sum(1)
        torch.testing.assert_close(found, torch.full_like(found, share), rtol=0, atol=0.02)
