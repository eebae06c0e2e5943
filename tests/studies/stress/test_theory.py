"""Curves of theory against known numbers, and against samples."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad_vec
from scipy.special import expit
from scipy.stats import norm

from ebm_bench import datasets, energies, objectives
from ebm_bench.errors import InputError
from ebm_bench.metrics.gradient_signal_to_noise import GradientSignalToNoise
from ebm_bench.metrics.loss_variance import LossVariance
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams
from ebm_bench.studies.stress import theory


def at(curve, knob, **settings):
    return theory.CURVES[curve](knob, **settings)


@pytest.mark.parametrize(
    ("gap", "eigenvalue", "accuracy"),
    [
        (1, 0.21337, 0.6915),
        (2, 0.056886, 0.8413),
        (4, 2.0602e-3, 0.9772),
        (6, 3.8158e-5, 0.9987),
        (8, 3.4663e-7, 0.99997),
    ],
)
def test_the_density_chasm(gap, eigenvalue, accuracy):
    assert at("nce_smallest_eigenvalue", gap) == pytest.approx(eigenvalue, rel=1e-4)
    assert 1 - at("nce_bayes_error", gap) == pytest.approx(accuracy, abs=5e-5)


def model(data, energy, objective, settings, dimension=1, start_precision=1.0, replicates=20):
    dataset = datasets.create("gaussian", dimension=dimension, **data)
    shapes = {"event_shape": dataset.event_shape, "replicates": replicates}
    made = energies.create(energy, **shapes, start_precision=start_precision)
    streams = Streams(2, replicates)
    points = dataset.sample(500, streams.child("fit"))
    made.fit(points)
    criterion = objectives.create(objective, **settings)
    criterion.setup(made, points, streams.child("fit"))
    made.requires_grad_(False)
    return Model(made, dataset, None, streams, objective=criterion)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("precision", [0.25, 4.0])
def test_signal_to_noise_of_dsm(sigma, precision):
    settings = {"sigma": sigma}
    trained = model({}, "quadratic", "denoising_score_matching", settings, 1, precision)
    metric = GradientSignalToNoise(batches=200, batch_size=64)
    measured = metric(trained, trained.dataset, trained.streams)["value"].mean().item()
    expected = at("dsm_signal_to_noise", sigma, precision=precision, batch_size=64)
    assert measured == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("curve", "objective", "settings"),
    [
        ("exact_loss_variance", "exact_score_matching", {}),
        ("sliced_loss_variance", "sliced_score_matching",
         {"variance_reduced": False, "projections": 1}),
        ("sliced_loss_variance", "sliced_score_matching",
         {"variance_reduced": False, "projections": 3}),
        ("reduced_loss_variance", "sliced_score_matching", {"projections": 2}),
    ],
)  # fmt: skip
def test_variance_of_score_matching_losses(curve, objective, settings):
    trained = model({"condition_number": 1}, "quadratic", objective, settings, dimension=6)
    found = LossVariance(batches=200, batch_size=8)(trained, trained.dataset, trained.streams)
    told = {k: v for k, v in settings.items() if k == "projections"}
    assert found["value"].mean().item() == pytest.approx(at(curve, 6, **told), rel=0.07)


def test_dsm_bias_is_that_of_the_optimum():
    sigma, x = 0.7, Streams(0).normal(400_000, dtype=torch.float64)[0]
    precision = 1 / (1 + sigma**2)
    log_q = -0.5 * precision * x**2 + 0.5 * math.log(precision)
    assert (-0.5 * x**2 - log_q).mean().item() == pytest.approx(at("dsm_bias_kl", sigma), abs=1e-3)


def test_equal_weights_have_this_fisher_divergence():
    mixture = datasets.create("weighted_gaussians", separation=3.0)
    x = mixture.sample(200_000, Streams(0))[0].double()
    true = mixture.score(x)
    mixture.weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    measured = (true - mixture.score(x)).square().sum(1).mean().item()
    assert measured == pytest.approx(at("weights_fisher_divergence", 3.0, weight=0.2), rel=0.02)


@pytest.mark.parametrize("separation", [1.0, 2.0, 6.0])
def test_equal_weights_misplace_this_mass(separation):
    mixture = datasets.create("weighted_gaussians", separation=separation)
    true = mixture.sample(200_000, Streams(0))[0]
    mixture.weights = torch.tensor([0.5, 0.5])
    equal = mixture.sample(200_000, Streams(1))[0]
    first = [
        (torch.cdist(x, mixture.modes.to(x)).argmin(1) == 0).double().mean() for x in (true, equal)
    ]
    measured = abs(first[0] - first[1]).item()
    assert measured == pytest.approx(at("weights_mass_error", separation, weight=0.2), abs=5e-3)


@pytest.mark.parametrize("squares", [2, 4, 8])
def test_divergence_of_a_smoothed_checkerboard(squares):
    board = datasets.create("checkerboard", squares=squares)
    streams, sigma, n = Streams(0), 0.3, 100_000
    blurred = board.sample(n, streams)[0] + sigma * streams.normal(n, 2)[0]
    # The share of the smoothed density that stays on the board, from the other end: its
    # average density over the board is at most the sharp one.
    divergence = at("smoothed_checkerboard_kl", squares, sigma=sigma)
    stays = board.log_prob(blurred).isfinite().double().mean().item()
    # Jensen: E log(p/p_σ) ≥ −log E[p_σ/p] = −log(stays).
    assert divergence >= -math.log(stays)
    assert divergence == pytest.approx(-math.log(stays), rel=0.25)


def test_a_board_hardly_smoothed_is_nearly_sharp():
    assert at("smoothed_checkerboard_kl", 4, sigma=0.01) < 0.01
    assert at("smoothed_checkerboard_kl", 4, sigma=0.1) < at(
        "smoothed_checkerboard_kl", 8, sigma=0.1
    )


def test_nce_from_noise_like_the_data_has_twice_the_variance_of_maximum_likelihood():
    floor = at("efficient_kl", 0, parameters=2, points=1000)
    assert floor == 1e-3
    assert at("nce_gaussian_kl", 0, points=1000) == pytest.approx(2 * floor)


@pytest.mark.parametrize("gap", [1.0, 2.5])
def test_nce_of_a_gaussian_is_the_sandwich_of_its_loss(gap):
    def mean(values, centre):
        def integrand(x):
            return norm.pdf(x, centre) * values(x, expit(gap**2 / 2 - gap * x))

        return quad_vec(integrand, -12, gap + 12)[0]

    def gradient(x):
        return np.array([x - gap, 0.5 - 0.5 * (x - gap) ** 2, -1.0])

    # A data point adds −P g to the gradient of the loss, and a noise sample (1 − P) g, where P
    # is the chance that a point is noise.
    points = (lambda x, p: p * gradient(x), gap), (lambda x, p: (1 - p) * gradient(x), 0.0)
    scatter = sum(
        mean(lambda x, p, of=of: np.outer(of(x, p), of(x, p)), c) - np.outer(*[mean(of, c)] * 2)
        for of, c in points
    )
    hessian = mean(lambda x, p: p * np.outer(gradient(x), gradient(x)), gap)
    covariance = np.linalg.solve(hessian, np.linalg.solve(hessian, scatter).T)
    # The Fisher information of the mean is 1, of the log-precision 1/2.
    divergence = 0.5 * (covariance[0, 0] + 0.5 * covariance[1, 1])
    assert at("nce_gaussian_kl", gap, points=1e5) == pytest.approx(divergence / 1e5, rel=1e-6)


def test_theory_of_many_points_is_silent_where_they_are_few():
    known = [at("nce_gaussian_kl", gap, points=128_000) for gap in (0.5, 2, 4)]
    assert known[0] < known[1] < known[2] < 0.1
    assert all(math.isnan(at("nce_gaussian_kl", gap, points=128_000)) for gap in (6, 8, 10))


@pytest.mark.parametrize("freedom", [1.0, 2.0, 5.0])
def test_fisher_divergences_of_student_t(freedom):
    toy = datasets.create("student_t", dimension=1, freedom=freedom)
    x = toy.sample(200_000, Streams(0))[0].double()
    flat = toy.score(x).square().mean().item()
    assert flat == pytest.approx(at("student_information", freedom), rel=0.01)
    precision = max(0.0, (freedom - 2) / freedom)
    fitted = (toy.score(x) + precision * x).square().mean().item()
    assert fitted == pytest.approx(at("student_gaussian_fisher", freedom), rel=0.05)


def test_a_gaussian_of_d_dimensions_has_this_many_parameters():
    assert at("efficient_gaussian_kl", 3, points=100) == pytest.approx(
        at("efficient_kl", 0, parameters=3 + 6, points=100)
    )


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("dsm_bais_kl", {}, "unknown curve 'dsm_bais_kl'. Did you mean 'dsm_bias_kl'?"),
        ("constant", {"vale": 1}, "unknown setting of constant 'vale'. Did you mean 'value'?"),
        ("efficient_kl", {"points": 1}, "efficient_kl needs parameters"),
        ("constant", {"value": "much"}, "constant.value = 'much' is not a number"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, settings, said):
    with pytest.raises(InputError, match=said.replace(".", r"\.").replace("?", r"\?")):
        theory.check(name, settings)
