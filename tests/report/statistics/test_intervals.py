import numpy as np
import pytest
from factories.replicates import table

from ebm_bench.report.statistics import intervals, scales


def test_summary_of_known_replicates():
    found = intervals.summarise(table(a=[1.0, 2.0, 6.0])).iloc[0]
    assert (found["mean"], found["median"]) == (3.0, 2.0)
    assert (found["n"], found["failed"], found["not_finite"]) == (3, 0, 0)
    # t with two degrees of freedom, times the standard error of the mean
    assert found["high"] - 3.0 == pytest.approx(4.302653 * 7**0.5 / 3**0.5)
    assert found["high"] - 3.0 == pytest.approx(3.0 - found["low"])


@pytest.mark.parametrize(
    ("draw", "mean", "n", "least"),
    [
        ("standard_normal", 0.0, 2, 0.92),
        ("standard_normal", 0.0, 5, 0.92),
        ("standard_normal", 0.0, 30, 0.90),
        ("exponential", 1.0, 5, 0.82),
        ("exponential", 1.0, 60, 0.90),
    ],
)
def test_interval_covers_the_mean_about_as_often_as_it_says(draw, mean, n, least):
    rng = np.random.default_rng(0)
    samples = [getattr(rng, draw)(size=n) for _ in range(300 if n < intervals.FEW else 100)]
    found = [intervals.interval(x) for x in samples]
    assert least <= np.mean([low <= mean <= high for low, high in found]) <= 0.99


def test_many_values_are_resampled_and_their_skew_is_seen():
    x = np.random.default_rng(0).exponential(size=intervals.FEW)
    low, high = intervals.interval(x)
    assert high - x.mean() > 1.2 * (x.mean() - low)
    low, high = intervals.interval(x[:-1])
    assert high - x[:-1].mean() == pytest.approx(x[:-1].mean() - low)


def test_one_value_unlike_all_others_still_has_an_interval():
    low, high = intervals.interval(np.append(np.zeros(intervals.FEW), 1.0))
    assert 0 <= low < high < 1


def test_standard_errors_of_replicates_are_averaged_without_failures():
    values = table({("a", 0): "diverged"}, a=[1.0, 2.0, 3.0]).assign(standard_error=[9.0, 0.1, 0.3])
    assert intervals.summarise(values).iloc[0]["standard_error"] == pytest.approx(0.2)
    assert np.isnan(intervals.summarise(table(a=[1.0])).iloc[0]["standard_error"])


def test_a_positive_metric_has_a_geometric_mean_and_an_interval_of_factors():
    values = table(a=[0.1, 1.0, 10.0])
    found = intervals.summarise(values, lambda metric: "log").iloc[0]
    assert (found["mean"], found["median"], found["at_floor"]) == (pytest.approx(1.0), 1.0, 0)
    assert found["low"] == pytest.approx(1 / found["high"])
    assert np.log10(found["high"]) == pytest.approx(4.302653 / 3**0.5)


def test_what_is_below_its_own_error_counts_as_that():
    values = table(a=[-0.2, 0.0, 1.0]).assign(standard_error=[0.01, np.nan, 2.0])
    found = intervals.summarise(values, lambda metric: "log").iloc[0]
    assert found["mean"] == pytest.approx(np.exp(np.mean(np.log([0.01, scales.FLOOR, 2.0]))))
    assert found["at_floor"] == 3


def test_interval_is_the_same_each_time():
    x = np.random.default_rng(0).standard_normal(intervals.FEW)
    assert intervals.interval(x) == intervals.interval(x)


def test_one_replicate_has_no_interval_and_equal_ones_have_no_width():
    assert np.isnan(intervals.interval(np.array([3.0]))).all()
    assert np.isnan(intervals.interval(np.array([]))).all()
    assert intervals.interval(np.array([3.0, 3.0, 3.0])) == (3.0, 3.0)


def test_failures_and_values_that_are_not_finite_are_counted_apart():
    values = table({("a", 0): "diverged", ("a", 1): "out_of_memory", ("a", 2): "timeout"},
                   a=[None, None, 5.0, np.inf, np.nan])  # fmt: skip
    found = intervals.summarise(values).iloc[0]
    assert found["mean"] == 5.0
    assert (found["n"], found["failed"], found["not_finite"]) == (1, 2, 2)


def test_a_failed_replicate_does_not_count_with_the_value_it_happens_to_have():
    found = intervals.summarise(table({("a", 0): "diverged"}, a=[1e9, 1.0, 1.0])).iloc[0]
    assert found["mean"] == 1.0


def test_caution_where_replicates_are_few():
    assert "normal distribution" in intervals.caution(3)
    assert intervals.caution(intervals.FEW) == ""
