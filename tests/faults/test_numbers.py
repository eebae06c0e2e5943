"""Statistics that decide or mislead: false findings, coverage, wild replicates, by-products."""

import numpy as np
import pytest
from factories.replicates import table

from benchmarks import comparisons
from ebm_bench.report.statistics import intervals, pairwise

TABLES = 40  # of a share of 5 %, two standard errors are 7 %


@pytest.mark.parametrize(
    ("scene", "n"),
    [("unequal spreads", 5), ("unequal spreads", 20), ("one blows up", 5), ("all blow up", 20)],
)
def test_thirteen_equal_methods_are_rarely_told_apart(scene, n):
    pairs, marks = comparisons.marked_wrongly(comparisons.SCENES[scene], n, TABLES)
    assert pairs <= 0.12
    assert marks <= 0.12


def test_methods_of_equal_mean_are_rarely_told_apart_in_few_replicates():
    draw = comparisons.SCENES["equal means"]
    assert comparisons.marked_wrongly(draw, 5, TABLES)[0] <= 0.12
    assert comparisons.false_findings("paired t", draw, 5, TABLES) > 0.15


@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize("sd", [0.1, 0.5, 1.0, 1.5, 2.0])
def test_intervals_of_skewed_values_cover(sd, n):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        values = table(a=np.exp(sd * rng.standard_normal(n)))
        found = intervals.summarise(values, lambda metric: "log").iloc[0]
        covered.append(0 < found["low"] <= 1 <= found["high"])
    assert np.mean(covered) >= 0.92


def test_a_factor_of_two_is_seen_in_twenty_replicates():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        x = np.exp(0.35 * rng.standard_normal((14, 20)))
        x[1:] *= 2
        ranked = pairwise.rank(comparisons.table(x), False, "log")
        found.append(ranked["best"].sum() == 1)
    assert np.mean(found) >= 0.9


def test_a_mean_ten_times_that_of_the_best_is_no_tie():
    rng = np.random.default_rng(0)
    x = np.exp(0.6 * rng.standard_normal((14, 20))) * np.geomspace(0.01, 100, 14)[:, None]
    x[-1, 3] = 1e6  # one wild replicate
    ranked = pairwise.rank(comparisons.table(x), False, "log")
    assert ranked["best"].sum() <= 2
    assert not ranked["best"].iloc[2:].any()  # marks follow the order


@pytest.mark.parametrize("error", [0.037, 0.5])
def test_differences_within_the_error_of_the_evaluation_are_not_told_apart(error):
    rng = np.random.default_rng(0)
    x = 2 + 1e-4 * rng.standard_normal((6, 5)) + 0.017 * np.arange(6)[:, None] / 5
    assert pairwise.compare(comparisons.table(x), False)["better"].any()
    assert not pairwise.compare(comparisons.table(x, error), False)["better"].any()
    kl = comparisons.table(x - 1.99, error)
    assert not pairwise.compare(kl, False, "log")["better"].any()


def test_divergences_estimated_below_zero_are_compared_by_their_error():
    x = np.array([[-0.01, 0.002, -0.004, 0.001, -0.003], [0.9, 1.1, 1.0, 1.2, 0.8]])
    found = pairwise.compare(comparisons.table(x, 0.01), False, "log").iloc[0]
    assert found["better"]
    assert found["difference"] == pytest.approx(0.01, rel=0.2)
    exact = pairwise.compare(comparisons.table(np.vstack([x[0] * 0, x[1]])), False, "log").iloc[0]
    assert np.isfinite(exact["difference"])
