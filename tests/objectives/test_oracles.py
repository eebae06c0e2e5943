"""Closed-form values that each objective must take.

Those of classifiers and flows are in `test_classifier_oracles`. Most need no tolerance: an average
over all sign vectors is that over a standard normal for whatever is quadratic, so a batch of these
stands for the distribution.

=========================================================  =====================================
the truth                                                  the test
=========================================================  =====================================
score matching of N(0, I) by itself: −d/2                  test_score_matching_of_the_truth
its minimiser: the inverse sample covariance               test_finds_the_inverse_covariance
sliced, over all directions: exact, at every point         test_sliced_has_the_exact_value
denoising: value and optimum are of the smoothed density   test_denoising_finds_the_smoothed_...
signal to noise of the denoising gradient                  test_objectives_limits
a classifier that knows nothing: 2 log 2, c = log Z        test_a_classifier_that_knows_nothing
the same against a flow that can learn: log 4              test_flow_contrastive_at_equilibrium
a flow below the likelihood, by its divergence             test_adversarial_flow_bounds_the_...
c becomes log Z from any noise                             test_noise_contrastive_learns_the_...
density chasm: curvature of the loss                       test_density_chasm
density chasm: accuracy of the classifier                  test_accuracy_of_the_classifier
a piecewise linear energy learns to be flat                test_objectives_limits
likelihood of the truth: the entropy                       test_maximum_likelihood_of_the_truth
the same, its slope and minimiser by quadrature            test_grid_maximum_likelihood_...
contrastive divergence rests at the truth                  test_contrastive_divergence_is_at_rest
the control that is not trained: the mean energy           test_the_control_is_looked_at_...
the sign of every gradient, and its refusals               test_objectives_contract
=========================================================  =====================================
"""

import math
from types import SimpleNamespace

import pytest
import torch
from factories.oracles import (
    R,
    create,
    crossed,
    everywhere,
    minimise,
    normal_data,
    signs,
    standard_normal,
)

from ebm_bench import energies, objectives
from ebm_bench.streams import Replay, Streams

SLICED = [
    {"variance_reduced": variance_reduced, "projection": projection}
    for variance_reduced in (True, False)
    for projection in ("rademacher", "gaussian")
]


def directions(settings, dimension):
    """Draws whose average is the expectation over directions, of shape (R, 1, 1, d) each.

    Signs for Rademacher directions, which are made of integers; the axes, of length √d both
    ways, for Gaussian ones, of which the loss is quadratic too.
    """
    if settings["projection"] == "rademacher":
        vectors = (signs(dimension)[0] + 1).long() // 2
    else:
        axes = math.sqrt(dimension) * torch.eye(dimension, dtype=torch.float64)
        vectors = torch.cat([axes, -axes])
    return [v.expand(R, 1, 1, dimension) for v in vectors]


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("settings", [None, *SLICED], ids=str)
def test_score_matching_of_the_truth(dimension, settings):
    """Minus half the dimension: half of it from the score, all of it from its divergence."""
    data, energy = signs(dimension), standard_normal(dimension)
    if settings is None:
        everywhere(
            create("exact_score_matching", energy, data).loss(energy, data, None), -dimension / 2
        )
        return
    objective = create("sliced_score_matching", energy, data, **settings)
    values = [
        objective.loss(energy, data, Replay([v.expand(R, 1, data.shape[1], dimension)]))
        for v in directions(settings, dimension)
    ]
    everywhere(sum(values) / len(values), -dimension / 2)


@pytest.mark.parametrize("points", [1, 3, 4, 9])
def test_exact_score_matching_of_some_points_is_that_of_a_smaller_batch(points):
    """At most the batch has."""
    energy, data = standard_normal(2), normal_data(4, 2)
    some = create("exact_score_matching", energy, data, points=points)
    all_of_them = create("exact_score_matching", energy, data)
    expected = all_of_them.loss(energy, data[:, :points], None)
    torch.testing.assert_close(some.loss(energy, data, None), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["exact_score_matching", "maximum_likelihood"])
def test_finds_the_inverse_covariance(name):
    """For the precision of a Gaussian, score matching is maximum likelihood."""
    data = normal_data(50, 3) @ torch.tensor([[2.0, 0, 0], [0.5, 1, 0], [-1, 0.3, 0.7]]).double()
    energy = standard_normal(3)
    objective = create(name, energy, data)
    minimise(lambda: objective.loss(energy, data, None), list(energy.parameters()))
    precision = energy.factor @ energy.factor.mT
    for replicate in range(R):
        covariance = torch.cov(data[replicate].T, correction=0)
        torch.testing.assert_close(
            precision[replicate], torch.linalg.inv(covariance), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("path", [("mlp", {"width": 6}), ("ica", {"source": "logistic"})], ids=str)
@pytest.mark.parametrize("settings", SLICED, ids=str)
def test_sliced_has_the_exact_value(settings, path):
    """At every point, in expectation over the directions: one point is a batch here."""
    name, chosen = path
    energy = energies.create(name, event_shape=(2,), replicates=R, **chosen).double()
    for x in normal_data(5, 2).split(1, dim=1):
        exact = create("exact_score_matching", energy, x).loss(energy, x, None)
        sliced = create("sliced_score_matching", energy, x, **settings)
        values = [sliced.loss(energy, x, Replay([v])) for v in directions(settings, 2)]
        torch.testing.assert_close(sum(values) / len(values), exact)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("dimension", [1, 2])
def test_denoising_finds_the_smoothed_precision(sigma, dimension):
    data, energy = normal_data(20, dimension), standard_normal(dimension)
    points, noise = crossed(data, signs(dimension))
    objective = create("denoising_score_matching", energy, data, sigma=sigma)
    minimise(lambda: objective.loss(energy, points, Replay([noise])), list(energy.parameters()))
    centred = data - data.mean(1, keepdim=True)
    unit = torch.eye(dimension, dtype=torch.float64)
    expected = torch.linalg.inv(centred.mT @ centred / data.shape[1] + sigma**2 * unit)
    torch.testing.assert_close(energy.factor @ energy.factor.mT, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_denoising_finds_the_smoothed_precision_of_a_normal_and_its_value(sigma):
    """Data of variance 1: the precision 1/(1 + σ²), where d/(2σ²(1 + σ²)) remains of the loss."""
    points, noise = crossed(signs(2), signs(2))
    energy = standard_normal(2)
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log1p(sigma**2))
    objective = create("denoising_score_matching", energy, points, sigma=sigma)
    loss = objective.loss(energy, points, Replay([noise]))
    everywhere(loss, 2 / (2 * sigma**2 * (1 + sigma**2)))
    (slope,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    everywhere(slope, 0.0)


def test_maximum_likelihood_of_the_truth_is_the_entropy():
    data, energy = signs(3), standard_normal(3)
    value = create("maximum_likelihood", energy, data).loss(energy, data, None)
    everywhere(value, 1.5 * (1 + math.log(2 * math.pi)))


def on_grid(energy, box=((-6.0, 6.0), (-6.0, 6.0)), **settings):
    objective = objectives.create("grid_maximum_likelihood", **settings)
    objective.attach(SimpleNamespace(box=box))
    objective.build(energy)
    return objective


# Wide and narrow, off the centre of the box, and a box that is no square.
@pytest.mark.parametrize(
    ("precision", "mean", "box"),
    [
        (1.0, (0.0, 0.0), ((-6.0, 6.0), (-6.0, 6.0))),
        (4.0, (1.5, -2.0), ((-6.0, 6.0), (-6.0, 6.0))),
        (0.3, (-1.0, 0.5), ((-8.0, 6.0), (-5.0, 9.0))),
        (2.0, (100.0, 0.1), ((95.0, 105.0), (-3.0, 4.0))),
    ],
)
def test_grid_maximum_likelihood_has_the_value_and_slope_of_a_gaussian(precision, mean, box):
    data, energy = signs(2), standard_normal(2)
    torch.nn.init.constant_(energy.log_diagonal, 0.5 * math.log(precision))
    torch.nn.init.constant_(energy.lower, 0.2)
    with torch.no_grad():
        energy.mean.copy_(torch.tensor(mean))
    parameters = list(energy.parameters())
    found = on_grid(energy, box, cells=64).loss(energy, data, Streams(1, R))
    expected = create("maximum_likelihood", energy, data).loss(energy, data, None)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    slopes = [torch.autograd.grad(loss.sum(), parameters) for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-7, atol=1e-7)


def test_grid_maximum_likelihood_finds_the_inverse_covariance():
    data = normal_data(50, 2) @ torch.tensor([[1.5, 0], [0.5, 1]]).double()
    energy = standard_normal(2)
    objective = on_grid(energy)
    minimise(lambda: objective.loss(energy, data, Streams(2, R)), list(energy.parameters()))
    for replicate in range(R):
        expected = torch.linalg.inv(torch.cov(data[replicate].T, correction=0))
        found = (energy.factor @ energy.factor.mT)[replicate]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_no_peak_hides_between_the_nodes_of_grid_maximum_likelihood():
    """Much narrower than a cell: on average over the shifts, Z is right."""
    objective, sd, shifts = on_grid(standard_normal(2)), 0.05, 1500
    nodes, log_weights = objective.nodes(signs(2), Streams(4, shifts))
    log_p = -0.5 * nodes.square().sum(2) / sd**2 - math.log(2 * math.pi * sd**2)
    found = (log_weights + log_p).flatten().logsumexp(0) - math.log(shifts)
    assert found.item() == pytest.approx(0.0, abs=0.2)


def test_the_nodes_of_grid_maximum_likelihood_cover_twice_the_box():
    box = ((-2.0, 4.0), (5.0, 7.0))
    nodes, log_weights = on_grid(standard_normal(2), box).nodes(signs(2), Streams(1, R))
    area = 4 * 6.0 * 2.0
    torch.testing.assert_close(
        log_weights.exp().sum(1), torch.full((R,), area).double(), rtol=0.1, atol=0
    )
    low, high = torch.tensor([-5.0, 4.0]).double(), torch.tensor([7.0, 8.0]).double()
    assert ((nodes >= low) & (nodes <= high)).all()
    torch.testing.assert_close(nodes.amax(1), high.expand(R, 2), rtol=0, atol=2.0)
    assert not torch.equal(nodes[0], nodes[1])  # each replicate by its own shift


def test_the_control_is_looked_at_by_its_mean_energy():
    data, energy = signs(3), standard_normal(3)
    everywhere(create("untrained", energy, data).loss(energy, data, None), 1.5)


def test_contrastive_divergence_is_at_rest_at_the_truth():
    """Chains that start in the model stay in it, up to the sampler's small bias."""
    data, energy = normal_data(20_000, 2), standard_normal(2)
    objective = create(
        "contrastive_divergence", energy, data, steps=5, step_size=0.05, chains=20_000
    )
    value = objective.loss(energy, data, Streams(2, R))
    torch.testing.assert_close(value, torch.zeros_like(value), atol=0.02, rtol=0)


def test_persistent_chains_go_on():
    data, energy = normal_data(100, 2), standard_normal(2)
    objective = create("contrastive_divergence", energy, data, persistent=True, chains=50, steps=2)
    before = objective.states.clone()
    streams = Streams(2, R)
    objective.loss(energy, data, streams)
    middle = objective.states.clone()
    objective.loss(energy, data, streams)
    assert not torch.equal(before, middle)
    assert not torch.equal(middle, objective.states)
