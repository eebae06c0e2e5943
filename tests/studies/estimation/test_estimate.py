"""Estimates with a closed form, and what becomes of those that do not exist."""

import pytest
import torch
from factories.estimation import make_setting

from ebm_bench.errors import InputError
from ebm_bench.streams import Streams
from ebm_bench.studies.estimation.estimate import _problem, distances, estimate

GAUSSIAN = ("gaussian", "quadratic")
SIZE, R = 60, 3


def setting(objective, dimension=3, varies=None, **settings):
    return make_setting(*GAUSSIAN, objective, {"dimension": dimension}, {}, settings, varies)


def data(chosen, streams):
    """The same data sets as `estimate` draws."""
    return chosen.make_dataset().sample(SIZE, streams.child("data", str(SIZE))).double()


@pytest.mark.parametrize("objective", ["maximum_likelihood", "exact_score_matching"])
def test_the_precision_is_the_inverse_sample_covariance(objective):
    chosen, streams = setting(objective), Streams(4, R)
    found = estimate(chosen, SIZE, 1, streams)
    assert found.status == ["converged"] * R
    for values, x in zip(found.values, data(chosen, streams), strict=True):
        exact = torch.linalg.inv(torch.cov(x.T, correction=0))
        torch.testing.assert_close(values.view(3, 3), exact, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.errors, distances(chosen.make_dataset(), found.values))


def test_denoising_finds_the_smoothed_precision():
    """With many data, 1/(1 + σ²) in place of 1."""
    found = estimate(setting("denoising_score_matching", 1, sigma=0.5), 40_000, 1, Streams(1, 2))
    expected = torch.full((2, 1), 1 / 1.25).double()
    torch.testing.assert_close(found.values, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("objective", "settings"),
    [("noise_contrastive", {"noise": "gaussian"}), ("conditional_noise_contrastive", {})],
)
def test_a_larger_ratio_comes_nearer_to_maximum_likelihood(objective, settings):
    reference = estimate(setting("maximum_likelihood"), 500, 1, Streams(2, R))
    gaps = [
        (
            estimate(setting(objective, varies="ratio", **settings), 500, nu, Streams(2, R)).values
            - reference.values
        )
        .square()
        .sum(1)
        .mean()
        for nu in (1, 30)
    ]
    assert gaps[1] < 0.3 * gaps[0]


def test_a_replicate_alone_is_what_it_is_among_others():
    chosen = setting("noise_contrastive", 2, varies="ratio")
    together = estimate(chosen, 200, 2, Streams(3, R))
    alone = estimate(chosen, 200, 2, Streams(3, [2]))
    torch.testing.assert_close(together.values[2:], alone.values, rtol=1e-3, atol=1e-3)


def test_sources_are_found_up_to_order_and_sign():
    chosen = make_setting(
        "laplace_ica",
        "ica",
        "maximum_likelihood",
        {"dimension": 2},
        {"source": "hyperbolic"},
    )
    found = estimate(chosen, 2000, 1, Streams(0, R))
    assert found.status == ["converged"] * R
    # In theory the variance of each entry is about 1/N.
    assert (found.errors < 0.02).all()


def test_what_has_no_estimate_keeps_its_status_and_an_infinite_error():
    """Ten parameters from eight points: most often, the classes are separated."""
    chosen = setting("noise_contrastive", 3, varies="ratio")
    found = estimate(chosen, 8, 1, Streams(0, R))
    lost = [status != "converged" for status in found.status]
    assert any(lost)
    assert torch.equal(torch.isinf(found.errors), torch.tensor(lost))


def test_an_energy_with_other_parameters_is_refused():
    chosen = make_setting("ring", "quadratic", "maximum_likelihood")
    with pytest.raises(InputError, match=r"ring has the parameters radius.*quadratic precision"):
        estimate(chosen, 10, 1, Streams(0, 2))


@pytest.mark.parametrize(
    "chosen",
    [
        setting("noise_contrastive", 2, "ratio"),
        setting("conditional_noise_contrastive", 2, "ratio"),
        setting("sliced_score_matching", 2, "projections"),
    ],
    ids=lambda chosen: chosen.objective.name,
)
def test_draws_are_frozen_and_the_gradient_is_that_of_the_value(chosen):
    loss = _problem(chosen, chosen.make_dataset(), 30, 2, Streams(0, R))
    theta = loss.theta
    value, slope = loss(theta)
    again, _ = loss(theta)
    assert torch.equal(value, again)
    direction = Streams(1, R).normal_like(theta)
    change = loss(theta + 1e-5 * direction)[0] - loss(theta - 1e-5 * direction)[0]
    torch.testing.assert_close(change / 2e-5, (slope * direction).sum(1), rtol=1e-5, atol=1e-6)
    # Mean, lower triangle and diagonal of the precision's factor, and log Z where it is learned.
    assert theta.shape[1] == 5 + (chosen.objective.name == "noise_contrastive")
