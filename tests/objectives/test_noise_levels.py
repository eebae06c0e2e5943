"""Closed forms of objectives whose energies have a noise level, for Gaussians."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from ebm_bench import energies, objectives
from ebm_bench.derivatives.for_samplers import unscale, value_and_grad
from ebm_bench.objectives import diffusion_recovery_likelihood
from ebm_bench.streams import Replay, Streams

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
LINE = torch.linspace(-20, 20, 4001, dtype=torch.float64)
QUANTILES = Normal(0.0, 1.0).icdf((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
SCALE = 1.5  # to which interpolants go, from data of variance 1


def given(monkeypatch, objective, *levels):
    """Let the loss take these levels, one for each repetition of `pairs`."""
    t = torch.tensor(levels, dtype=torch.float64).repeat_interleave(36).expand(R, -1)
    module = type(objective).__module__
    monkeypatch.setattr(f"{module}.stratified", lambda x, streams: t)
    return t[..., None]


def unchanged(value):
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-7)


def interpolated(name, **settings):
    """An objective at the truth: the energy of standard normal data, and its normaliser."""
    energy = gaussian(1.0)
    energy.scale.fill_(SCALE)
    objective = build(name, energy, **settings)
    objective.normaliser.start.copy_(energy.log_z.detach())
    return energy, objective


def spreads(count):
    """Standard deviations of levels, evenly spaced."""
    t = torch.linspace(0, 1, count, dtype=torch.float64)
    return t, ((1 - t) ** 2 + (SCALE * t) ** 2).sqrt()


def divergence(deviations):
    """Jensen-Shannon divergence of centred Gaussians, by quadrature."""
    log_p = Normal(0.0, deviations.unsqueeze(1)).log_prob(LINE)
    log_mean = log_p.logsumexp(0) - math.log(len(deviations))
    return (log_p.exp() * (log_p - log_mean)).sum(1).mean() * (LINE[1] - LINE[0])


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


@pytest.mark.parametrize("levels", [2, 5])
def test_noise_level_classification_of_the_truth(levels):
    """``log N − JSD``, and no slope: neither of the energy, nor of its normaliser."""
    energy, objective = interpolated("noise_level_classification", levels=levels, denoising=0.0)
    t, deviations = spreads(levels)
    # Points that have the quantiles of their level, as data and noise of one sign have them.
    parts = (deviations - (1 - t)) / (SCALE * t.clamp_min(0.1))  # 0 for the data
    noise = torch.outer(parts, QUANTILES).view(1, -1, 1).expand(R, -1, 1)
    x = QUANTILES.repeat(levels).view(1, -1, 1).expand(R, -1, 1)
    loss = objective.loss(energy, x, Replay([HALF, noise]))
    expected = math.log(levels) - divergence(deviations)
    torch.testing.assert_close(loss, expected.expand(R), rtol=0, atol=2e-4)
    slopes = torch.autograd.grad(loss.sum(), [energy.log_diagonal, objective.normaliser.theta])
    for slope in slopes:
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-3)


def test_noise_level_classification_predicts_noise_besides(monkeypatch):
    """``½ α²/(α² + (t s)²)`` remains, with no slope, for data of variance 1."""
    energy, objective = interpolated("noise_level_classification", denoising=0.4)
    z, noise = pairs(3)
    t = given(monkeypatch, objective, 0.1, 0.5, 0.9)
    loss = objective.loss(energy, z, Replay([noise, noise]))
    objective.denoising = 0.0
    loss = (loss - objective.loss(energy, z, Replay([noise]))) / 0.4
    expected = 0.5 * ((1 - t) ** 2 / ((1 - t) ** 2 + (SCALE * t) ** 2)).mean((1, 2))
    torch.testing.assert_close(loss, expected)
    unchanged(torch.autograd.grad(loss.sum(), energy.log_diagonal)[0])


@pytest.mark.parametrize("bridges", [1, 3])
def test_telescoping_ratio_of_the_truth(bridges):
    """Mean of ``2 log 2 − 2 JSD`` of neighbours, and no slope."""
    energy, objective = interpolated("telescoping_ratio", bridges=bridges)
    t, deviations = spreads(bridges + 1)
    mixing = torch.stack([1 - t, SCALE * t], 1)
    # Data and noise of which both points of a pair have the quantiles of their level.
    parts = [torch.linalg.solve(mixing[k : k + 2], deviations[k : k + 2]) for k in range(bridges)]
    x, noise = (
        torch.outer(part, QUANTILES).view(1, -1, 1).expand(R, -1, 1)
        for part in torch.stack(parts, 1)
    )
    loss = objective.loss(energy, x, Replay([HALF, noise]))
    pairs_of = [divergence(deviations[k : k + 2]) for k in range(bridges)]
    expected = 2 * math.log(2) - 2 * torch.stack(pairs_of).mean()
    torch.testing.assert_close(loss, expected.expand(R), rtol=0, atol=2e-4)
    slopes = torch.autograd.grad(loss.sum(), [energy.log_diagonal, objective.normaliser.theta])
    for slope in slopes:
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["noise_level_classification", "telescoping_ratio"])
def test_normalisers_start_at_the_known_one(name):
    """Exactly, where the energy has the moments that the end of the path has."""
    energy = gaussian(1.0)
    objective = build(name, energy)
    objective.fit(energy, torch.zeros(R, 1, 1, dtype=torch.float64), Streams(0, R))
    torch.testing.assert_close(objective.log_z, energy.log_z)


def test_recovery_is_of_the_density_given_the_copy():
    """``N(x̃ V/(V + s²), V s²/(V + s²))`` for a level of variance V."""
    variance, step = 1.7, 0.6
    energy = gaussian(1.0)
    objective = build("diffusion_recovery_likelihood", energy, sigma=0.2, ratio=20.0)
    t = math.log1p((variance - 1) / 0.2**2) / (2 * math.log(20))
    level = objective.embedding.at(energy, torch.full((R, 1), t, dtype=torch.float64))
    x, copies = Streams(1, R).normal(2, 9, 1, dtype=torch.float64).unbind(1)
    scale = torch.full((R, 9, 1), step, dtype=torch.float64)
    recovery = diffusion_recovery_likelihood._Recovery(level, copies, scale)
    shrunk = variance / (variance + step**2)
    truth = Normal(shrunk * copies, math.sqrt(shrunk) * step)
    expected = truth.log_prob(x) - truth.log_prob(0 * x)
    torch.testing.assert_close(recovery(0 * x) - recovery(x), expected.squeeze(2))


@pytest.mark.parametrize("name", ["mlp", "quadratic"])
def test_chains_that_recover_take_their_energy_and_its_slope(name):
    energy = energies.create(name, event_shape=(2,), replicates=R).double()
    objective = build("diffusion_recovery_likelihood", energy)
    for parameter in objective.parameters():
        parameter.data = Streams(4, R).normal(*parameter.shape[1:], dtype=torch.float64)
    copies, u, other = Streams(1, R).normal(3, 9, 2, dtype=torch.float64).unbind(1)
    level = objective.embedding.at(energy, Streams(2, R).uniform(9, dtype=torch.float64))
    recovery = diffusion_recovery_likelihood._Recovery(level, copies, other.abs() + 0.1)
    base = Normal(0.0, 1.0)

    def expected(u):
        return recovery(unscale(recovery, u)) + base.log_prob(u).sum(2)

    excess, slope = value_and_grad(recovery, u)
    torch.testing.assert_close(
        excess - value_and_grad(recovery, other)[0], expected(u) - expected(other)
    )
    (by_u,) = torch.autograd.grad(expected(u.requires_grad_()).sum(), u)
    torch.testing.assert_close(slope, by_u)


def test_recovery_is_at_rest_at_the_truth_of_all_levels():
    """Where chains are long, and nowhere else."""
    found = []
    for variance in (1.0, 2.0):
        energy = gaussian(variance)
        objective = build("diffusion_recovery_likelihood", energy, steps=15, levels=3)
        data = Streams(1, R).normal(3000, 1, dtype=torch.float64)
        loss = objective.loss(energy, data, Streams(2, R))
        found.append(torch.autograd.grad(loss.sum(), energy.log_diagonal)[0].abs())
    assert found[0].max() < 0.03 < 0.1 < found[1].min()


def test_time_score_matching_of_the_smoothed_density(monkeypatch):
    """``½ (1 − q) + time (1 − q²)/4`` remains, q being the share of σ² in the variance."""
    variance, sigma, ratio, time = 1.7, 0.3, 12.0, 5.0
    energy = gaussian(variance + sigma**2)
    objective = build("time_score_matching", energy, sigma=sigma, ratio=ratio, time=time)
    z, noise = pairs(3)
    squares = (sigma * ratio ** given(monkeypatch, objective, 0.0, 0.4, 1.0)) ** 2
    q = squares / (variance + squares)
    loss = objective.loss(energy, math.sqrt(variance) * z, Replay([noise]))
    expected = (0.5 * (1 - q) + time / 4 * (1 - q**2)).mean((1, 2))
    torch.testing.assert_close(loss, expected)
    unchanged(torch.autograd.grad(loss.sum(), energy.log_diagonal)[0])


def test_the_integral_over_levels_is_the_log_ratio_of_the_ends():
    """The derivative that is trained, at the truth."""
    energy = gaussian(1.7 + 0.3**2)
    objective = build("time_score_matching", energy, sigma=0.3, ratio=12.0)
    x = torch.linspace(-2, 2, 5, dtype=torch.float64).view(1, 5, 1).expand(R, -1, -1)
    total = torch.zeros(R, 5, dtype=torch.float64)
    for node, weight in zip(*np.polynomial.legendre.leggauss(20), strict=True):
        t = torch.full((R, 5), (node + 1) / 2, dtype=torch.float64)
        total += objective.embedding.derivatives(energy, t, x)[1].detach() * weight / 2
    ends = [Normal(0.0, math.sqrt(1.7 + (0.3 * r) ** 2)).log_prob(x[..., 0]) for r in (1, 12)]
    torch.testing.assert_close(total, ends[0] - ends[1])
