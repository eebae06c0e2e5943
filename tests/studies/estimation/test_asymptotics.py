"""Covariances in theory that are known in closed form or by quadrature."""

import math

import pytest
import torch
from factories.estimation import make_setting

from ebm_bench.streams import Streams
from ebm_bench.studies.estimation import asymptotics
from ebm_bench.studies.estimation.asymptotics import Asymptote, _Population, asymptote

BUDGET = 1e6


def gaussian(objective, varies=None, dimension=1, **settings):
    data = {"dimension": dimension}
    return make_setting("gaussian", "quadratic", objective, data, {}, settings, varies)


@pytest.mark.parametrize("objective", ["maximum_likelihood", "exact_score_matching"])
def test_the_inverse_fisher_information_of_a_precision(objective):
    """Of the precision of N(0, 1) it is 2, and score matching attains it."""
    found = asymptote(gaussian(objective), 1, Streams(0), BUDGET)
    assert found.variance == pytest.approx(2, rel=0.06)
    assert found.bias.abs().max() == 0


def test_the_inverse_fisher_information_of_a_precision_matrix():
    """Wishart's: the variances sum to Σ λᵢᵢλⱼⱼ + λᵢⱼ²."""
    chosen = gaussian("maximum_likelihood", dimension=2)
    precision = chosen.make_dataset().parameters["precision"]
    diagonal = precision.diagonal()
    expected = (torch.outer(diagonal, diagonal) + precision.square()).sum().item()
    found = asymptote(chosen, 1, Streams(0), BUDGET)
    assert found.variance == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("ratio", [1, 5])
def test_noise_contrastive_where_the_noise_is_the_truth(ratio):
    """1 + 1/ν times the inverse Fisher information."""
    chosen = gaussian("noise_contrastive", "ratio", noise="gaussian")
    found = asymptote(chosen, ratio, Streams(0), BUDGET)
    assert found.variance == pytest.approx(2 * (1 + 1 / ratio), rel=0.06)


def test_noise_contrastive_by_quadrature():
    """I⁻¹ − (1 + 1/ν) I⁻¹ E[Pg] E[Pg]ᵀ I⁻¹ with uniform noise (Gutmann and Hyvärinen 2012)."""
    ratio, streams = 3, Streams(0)
    chosen = gaussian("noise_contrastive", "ratio", noise="uniform")
    fitted = _Population(chosen, ratio, streams).loss(1, 5, "look").objective.distribution.noise
    x = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    q = fitted.log_prob(x.view(1, -1, 1))[0].exp()
    p = (-0.5 * x**2).exp() / math.sqrt(2 * math.pi)
    share = ratio * q / (p + ratio * q)
    g = torch.stack([x, -(x**2), -torch.ones_like(x)])  # of mean, log L and c
    weight = p * share * (x[1] - x[0])
    information, mean = (weight * g) @ g.T, (weight * g).sum(1)
    inverse = torch.linalg.inv(information)
    pull = inverse @ mean
    covariance = inverse - (1 + 1 / ratio) * torch.outer(pull, pull)
    expected = 4 * covariance[1, 1].item()  # the precision is exp(2 log L)
    found = asymptote(chosen, ratio, streams, 3 * BUDGET)
    assert found.variance == pytest.approx(expected, rel=0.06)


def test_the_constant_of_the_population_is_the_normaliser():
    data = {"dimension": 5}
    chosen = make_setting(
        "ring", "ring", "noise_contrastive", data, {}, {"noise": "gaussian"}, "ratio"
    )
    loss = _Population(chosen, 1, Streams(0)).loss(1, 5, "look")
    torch.testing.assert_close(loss.objective.log_z, loss.energy.log_z)


def test_conditional_noise_contrastive_by_quadrature():
    """Of the precision of N(0, 1) with ε = 1 and a copy for each point, by Gauss and Hermite."""
    chosen = gaussian("conditional_noise_contrastive", "ratio", epsilon=1.0)
    assert asymptote(chosen, 1, Streams(0), 3e6).variance == pytest.approx(9.0545, rel=0.06)


@pytest.mark.parametrize("sigma", [0.2, 0.5])
def test_the_bias_of_denoising(sigma):
    """It finds the precision of the smoothed density."""
    chosen = gaussian("denoising_score_matching", sigma=sigma)
    found = asymptote(chosen, 1, Streams(0), 2 * BUDGET, biased=True)
    assert abs(found.bias.item() - (1 / (1 + sigma**2) - 1)) < 3 * found.bias_error
    assert found.bias_error < 0.006


def test_order_and_sign_of_sources_are_no_error():
    """The variance of Laplace ICA is the same for each mixing up to its unmixing's rows."""
    chosen = make_setting(
        "laplace_ica", "ica", "maximum_likelihood", {"dimension": 2}, {"source": "hyperbolic"}
    )
    found = asymptote(chosen, 1, Streams(0), BUDGET)
    # Rows w of the unmixing W have the covariance Σ_j a_ij w_j w_jᵀ, with a = 1 for j = i, and
    # for the others the inverse of [[2, 1], [1, 2]], 2/3, on its diagonal.
    rows = chosen.make_dataset().parameters["unmixing"].square().sum(1)
    expected = rows.sum().item() * (1 + 2 / 3)
    assert found.variance == pytest.approx(expected, rel=0.15)


def test_the_standard_error_is_that_of_independent_samples(monkeypatch):
    for name in ("_FOR_HESSIAN", "_FOR_SLOPES", "_FIT"):
        monkeypatch.setattr(asymptotics, name, 500)
    chosen = gaussian("noise_contrastive", "ratio", noise="gaussian")
    found = [asymptote(chosen, 1, Streams(seed), 1e3) for seed in range(10)]
    scores = torch.tensor([(one.variance - 4) / one.error for one in found])
    assert 0.6 < scores.square().mean().sqrt() < 1.6


def test_quantiles_of_the_error():
    """Two coordinates of the same variance: an exponential distribution."""
    flat = Asymptote(torch.eye(2).double(), torch.zeros(2).double(), 0.0, 0.0)
    (median,) = flat.errors(100, (0.5,))
    assert median == pytest.approx(2 * math.log(2) / 100, rel=0.03)
    shifted = Asymptote(torch.eye(2).double(), torch.tensor([3.0, 4.0]).double(), 0.0, 0.0)
    assert shifted.errors(10**8, (0.1, 0.9)) == pytest.approx([25, 25], rel=0.01)
