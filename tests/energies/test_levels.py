"""Energies that are continued to noise levels."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from ebm_bench import derivatives, energies, objectives
from ebm_bench.derivatives import autograd, for_samplers
from ebm_bench.energies.levels import Interpolant, Ladder, Levels, log_base, stratified
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

R, B = 2, 5
CASES = {
    "mlp": ((2,), {"width": 6}),
    "conv": ((1, 4, 4), {"channels": 2}),
    "quadratic": ((2,), {}),
}
PATHS = [Ladder(0.1, 30.0), Interpolant()]


def make(name, path):
    """An energy of data with mean 1 and scale 2, and a continuation with random weights."""
    shape, settings = CASES[name]
    energy = energies.create(name, event_shape=shape, replicates=R, **settings).double()
    energy.fit(1 + 2 * Streams(1, R).normal(50, *shape, dtype=torch.float64))
    levels = Levels(energy, path)
    for parameter in levels.parameters():
        parameter.data = 0.5 * Streams(4, R).normal(*parameter.shape[1:], dtype=torch.float64)
    return energy, levels


def batch(energy, n=B):
    draw = {"dtype": torch.float64}
    return Streams(2, R).normal(n, *energy.event_shape, **draw), Streams(3, R).uniform(n, **draw)


@pytest.mark.parametrize("path", PATHS, ids=["ladder", "interpolant"])
@pytest.mark.parametrize("name", CASES)
def test_level_0_is_the_energy(name, path):
    energy, levels = make(name, path)
    x, t = batch(energy)
    torch.testing.assert_close(levels.at(energy, 0 * t)(x), energy(x))
    assert not torch.allclose(levels.at(energy, t)(x), energy(x), atol=1e-3)
    torch.testing.assert_close(levels.noised(energy, x, 0 * t, x + 3), x)


@pytest.mark.parametrize("path", PATHS, ids=["ladder", "interpolant"])
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_derivatives_of_networks_are_those_of_autograd(name, path):
    energy, levels = make(name, path)
    x, t = batch(energy)
    level = levels.at(energy, t)
    found, expected = derivatives.laplacian(level, x), autograd.laplacian(level, x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(derivatives.gradient(level, x), expected[0])
    weights = [*levels.parameters(), *energy.parameters()]
    factor = Streams(6, R).normal_like(x)
    slopes = [
        torch.autograd.grad(
            (factor * gradient).sum() + trace.sum(),
            weights,
            materialize_grads=True,
            retain_graph=True,
        )
        for gradient, trace in (found, expected)
    ]
    torch.testing.assert_close(*slopes)
    assert slopes[0][0].any()


@pytest.mark.parametrize("path", PATHS, ids=["ladder", "interpolant"])
@pytest.mark.parametrize("name", CASES)
def test_derivatives_by_points_and_levels_are_those_of_autograd(name, path):
    energy, levels = make(name, path)
    x, t = batch(energy)
    before = energy.evaluations
    found = levels.derivatives(energy, t, x)
    assert energy.evaluations == before + B
    inputs = x.requires_grad_(), t.requires_grad_()
    total = levels.at(energy, t)(x).sum()
    expected = torch.autograd.grad(total, inputs, create_graph=True)
    torch.testing.assert_close(found, expected)
    weights = [*levels.parameters(), *energy.parameters()]
    factors = Streams(6, R).normal_like(x), Streams(7, R).normal_like(t)
    slopes = [
        torch.autograd.grad(
            sum((f * d).sum() for f, d in zip(factors, derivatives, strict=True)),
            weights,
            materialize_grads=True,
        )
        for derivatives in (found, expected)
    ]
    torch.testing.assert_close(*slopes)


def test_points_in_chunks_keep_their_levels(monkeypatch):
    monkeypatch.setattr(for_samplers, "_CHUNK", 1)
    for name in ("mlp", "quadratic"):
        energy, levels = make(name, PATHS[0])
        x, t = batch(energy, 300)
        level = levels.at(energy, t)
        expected = derivatives.gradient(level, x)
        before = energy.evaluations
        with torch.no_grad():
            torch.testing.assert_close(derivatives.gradient(level, x), expected)
        assert energy.evaluations == before + 300


@pytest.mark.parametrize("path", PATHS, ids=["ladder", "interpolant"])
def test_a_gaussian_stays_the_gaussian_of_noised_points(path):
    energy, levels = make("quadratic", path)
    x, t = batch(energy)
    share, variance = path.amounts(t.unsqueeze(2), energy.scale)
    precision = energy.factor @ energy.factor.mT
    noise = torch.diag_embed(variance.expand(R, B, 2))
    covariance = share.square().unsqueeze(3) * torch.linalg.inv(precision).unsqueeze(1) + noise
    mean = energy.location + share * (energy.mean - energy.location)
    expected = MultivariateNormal(mean, covariance).log_prob(x)
    found = -levels.at(energy, t)(x) - energy.log_z.unsqueeze(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("path", PATHS, ids=["ladder", "interpolant"])
def test_the_normaliser_is_the_same_at_all_levels_before_training(path):
    energy = energies.create("mlp", event_shape=(1,), width=6).double()
    energy.fit(1 + 2 * Streams(1).normal(50, 1, dtype=torch.float64))
    levels = Levels(energy, path)
    x = torch.linspace(-60, 60, 4001, dtype=torch.float64).view(1, -1, 1)
    found = []
    for t in (0.0, 0.3, 1.0):
        at = levels.at(energy, torch.full((1, 1), t, dtype=torch.float64))
        found.append(torch.logsumexp(-at(x), 1).item() + math.log(120 / 4000))
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)


def test_the_end_of_the_interpolant_is_the_gaussian_with_the_moments_of_the_data():
    energy, levels = make("mlp", PATHS[1])
    x, noise = batch(energy)[0], Streams(5, R).normal(B, 2, dtype=torch.float64)
    found = levels.noised(energy, x, x.new_ones(R, B), noise)
    torch.testing.assert_close(found, energy.location + energy.scale * noise)
    expected = Normal(energy.location, energy.scale).log_prob(x).sum(2)
    torch.testing.assert_close(log_base(energy, x), expected)


@pytest.mark.parametrize("count", [1, 7, 4096])
def test_points_are_spread_over_the_levels(count):
    class Last:
        def uniform(self, n, dtype):
            return torch.full((R, n), 1 - 2**-24, dtype=dtype)

    places = stratified(torch.zeros(R, count, 2), Last())
    assert (places < 1).all()
    places = stratified(torch.zeros(R, count, 2), Streams(0, R))
    expected = torch.arange(count).expand(R, -1)
    assert torch.equal((places * count + 1e-3).floor().clamp_max(count - 1).long(), expected)


def test_an_energy_without_levels_is_refused():
    energy = energies.create("ica", event_shape=(2,), source="logistic")
    with pytest.raises(InputError, match=r"ica cannot\. Valid: conv, mlp, quadratic"):
        objectives.create("multi_noise_denoising").build(energy)
