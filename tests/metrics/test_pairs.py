"""Averages over pairs of points, and neighbours of points, against plain loops and known laws."""

import math

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ebm_bench import metrics, objectives
from ebm_bench.metrics import kernels, neighbours
from ebm_bench.metrics.kernel_stein_discrepancy import stein
from ebm_bench.streams import Streams


def measure(name, model, **settings):
    return metrics.create(name, **settings)(model, model.dataset, model.streams)


@pytest.mark.parametrize("size", [2, 64, 65, 150])
def test_averages_leave_out_the_point_itself(size):
    """However many blocks there are."""
    x = Streams(0, 2).normal(size, 3, dtype=torch.float64)
    width = torch.tensor([0.5, 2.0], dtype=torch.float64)
    k = torch.exp(-0.5 * (torch.cdist(x, x) / width.view(2, 1, 1)) ** 2)
    expected = (k.sum(2) - 1) / (size - 1)
    torch.testing.assert_close(kernels.to_others(kernels.gaussian(width), x), expected)


@pytest.mark.parametrize("size", [2, 499, 1000])
def test_the_median_distance(size):
    x = Streams(0, 2).normal(size, 2)
    expected = torch.stack([torch.pdist(points[:500].double()).median() for points in x])
    torch.testing.assert_close(kernels.median_distance(x), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["maximum_mean_discrepancy", "energy_distance"])
def test_discrepancies_scatter_about_their_expectation(name, bowl):
    values = measure(name, bowl(replicates=60), points=100)
    assert values["value"].mean().abs() < 4 * values["value"].std() / 60**0.5
    assert (values["value"] < 0).any()
    shifted = measure(name, bowl(replicates=60, mean=0.8), points=100)
    error = shifted["standard_error"].mean().item()
    assert error == pytest.approx(shifted["value"].std().item(), rel=0.3)


def test_the_stein_discrepancy_of_the_truth_scatters_about_zero(bowl):
    values = measure("kernel_stein_discrepancy", bowl(5, replicates=60), points=50)
    assert values["value"].mean().abs() < 4 * values["value"].std() / 60**0.5
    assert (values["value"] < 0).any()
    wide = measure("kernel_stein_discrepancy", bowl(5, replicates=60, sd=1.5), points=50)
    error = wide["standard_error"].mean().item()
    assert error == pytest.approx(wide["value"].std().item(), rel=0.3)


@pytest.mark.parametrize(("v", "s", "bandwidth"), [(2.0, 1.0, 1.0), (0.5, 1.5, 0.7)])
def test_the_stein_discrepancy_of_normals_on_a_line(v, s, bandwidth):
    """``(1/v − 1/s)² (s/2) A^{−½} (1 − 1/A)``, ``A = 1 + 2s/h²``, of N(0, s) from N(0, v)."""
    x = s**0.5 * Streams(0, 40).normal(500, 1, dtype=torch.float64)
    kernel = stein(torch.full((40,), bandwidth, dtype=torch.float64))
    found = kernels.to_others(kernel, torch.cat([x, -x / v], 2)).mean(1)
    a = 1 + 2 * s / bandwidth**2
    expected = (1 / v - 1 / s) ** 2 * (s / 2) * a**-0.5 * (1 - 1 / a)
    assert abs(found.mean() - expected) < 4 * found.std() / 40**0.5
    assert found.std() / 40**0.5 < 0.05 * expected


def test_the_stein_discrepancy_does_not_ask_for_a_normaliser(bowl):
    (one, other) = (
        measure("kernel_stein_discrepancy", bowl(mean=0.5, offset=c), points=50)["value"]
        for c in (0.0, 100.0)
    )
    torch.testing.assert_close(one, other)


def test_the_stein_discrepancy_is_what_the_objective_minimises(bowl):
    model = bowl(3, mean=0.5, sd=1.5)
    found = measure("kernel_stein_discrepancy", model, points=60)["value"]
    x = model.dataset.sample(60, model.streams.child("data"), "test")
    objective = objectives.create("kernel_stein", kernel="rbf", width=1.0)
    objective.setup(model.energy, x, model.streams)
    torch.testing.assert_close(objective.loss(model.energy, x, model.streams).double(), found)


def test_the_classifier_is_that_of_scikit_learn(bowl):
    model = bowl(mean=0.7)
    # An odd number of neighbours, where the root of 330 rounds to an even one.
    found = measure("classifier_two_sample_test", model, points=331)
    x = model.samples(331).double()
    y = model.dataset.sample(331, model.streams.child("data"), "test").double()
    for r in range(2):
        judge = KNeighborsClassifier(math.isqrt(330) | 1)
        judge.fit(torch.cat([x[r, :165], y[r, :165]]), [1] * 165 + [0] * 165)
        expected = judge.score(torch.cat([x[r, 165:], y[r, 165:]]), [1] * 166 + [0] * 166)
        assert found["value"][r].item() == pytest.approx(expected, abs=1e-12)
        error = (expected * (1 - expected) / 331) ** 0.5
        assert found["standard_error"][r].item() == pytest.approx(error, rel=1e-2)


@pytest.mark.parametrize("points", [2, 3, 4, 5])
def test_the_classifier_has_an_opinion_of_few_points(points, bowl):
    assert (
        measure("classifier_two_sample_test", bowl(mean=50.0), points=points)["value"] == 1
    ).all()


def test_three_of_four_points_on_a_line_lie_among_others_of_their_law():
    """With one neighbour: a point is the nearest of neither side's next with probability ¼."""
    streams = Streams(0, 40)
    x, y = (streams.child(name).normal(500, 1, dtype=torch.float64) for name in "xy")
    found = neighbours.covered(x, y, 1).mean(1)
    assert abs(found.mean() - 0.75) < 4 * found.std() / 40**0.5


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_points_lie_among_others_by_definition(offset):
    """Wherever they all are, in single precision."""
    streams = Streams(0, 2)
    x, y = offset + 1.5 * streams.normal(150, 3), offset + streams.child("y").normal(140, 3)
    reach = torch.stack([torch.cdist(p, p).sort(1).values[:, 3] for p in y.double()])
    beside = torch.cdist(x.double(), y.double()) <= reach.unsqueeze(1)
    expected = beside.any(2).double()
    found = neighbours.covered(x, y)
    assert 0.1 < expected.mean() < 0.9
    torch.testing.assert_close(found, expected)
    assert (neighbours.covered(y, y) == 1).all()  # also those at the very border


def test_a_lost_mode_lowers_recall_alone_and_an_invented_one_precision_alone():
    streams = Streams(0, 1)
    left, right = -9 + streams.normal(200, 2), 9 + streams.normal(200, 2)
    both, more = torch.cat([left, right], 1), 9 + streams.normal(400, 2)
    precision, recall = neighbours.covered(more, both).mean(), neighbours.covered(both, more).mean()
    assert precision > 0.9
    assert 0.45 < recall <= 0.5


@pytest.mark.parametrize("name", ["precision_efficientnet", "recall_efficientnet"])
def test_a_sample_that_is_no_number_leaves_no_number(name, images, monkeypatch):
    monkeypatch.setattr("ebm_bench.metrics.features.extract", lambda pixels: pixels.flatten(2))
    model = images()
    drawn = model.streams.normal(20, 1, 8, 8)
    drawn[1, 7] = math.nan
    model.energy.sample = lambda n, streams: drawn
    value = measure(name, model, points=20)["value"]
    assert value[0].isfinite()
    assert value[1].isnan()
