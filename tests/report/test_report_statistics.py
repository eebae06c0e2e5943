import numpy as np
import pandas as pd
import pytest

from ebm_bench.report import statistics


def table(status=None, model="energy", dataset="d", metric="m", **methods):
    """Replicates of methods; a status by (method, replicate) where it is not ok."""
    return pd.DataFrame(
        [
            {
                "dataset": dataset,
                "method": method,
                "model": model,
                "metric": metric,
                "replicate": r,
                "status": (status or {}).get((method, r), "ok"),
                "value": value,
                "standard_error": None,
            }
            for method, values in methods.items()
            for r, value in enumerate(values)
        ]
    )


def ranks(found):
    return dict(zip(found["method"], found["rank"], strict=True))


def best(found):
    return set(found.loc[found["best"], "method"])


def tied(found):
    return set(found.loc[found["tied"], "method"])


def test_summary_of_known_replicates():
    found = statistics.summarise(table(a=[1.0, 2.0, 6.0])).iloc[0]
    assert (found["mean"], found["median"]) == (3.0, 2.0)
    assert (found["n"], found["failed"], found["not_finite"]) == (3, 0, 0)
    # t with two degrees of freedom, times the standard error of the mean
    assert found["high"] - 3.0 == pytest.approx(4.302653 * 7**0.5 / 3**0.5)
    assert found["high"] - 3.0 == pytest.approx(3.0 - found["low"])


@pytest.mark.parametrize("n", [2, 3, 30])
def test_interval_covers_the_mean_about_as_often_as_it_says(n):
    rng = np.random.default_rng(0)
    intervals = [statistics.interval(rng.standard_normal(n)) for _ in range(200)]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.9 <= covered <= 0.99


def test_ten_values_are_resampled():
    x = np.append(np.zeros(statistics.FEW - 1), 1.0)
    low, high = statistics.interval(x)
    assert low == 0.0 < high  # as no interval that is symmetric about the mean would have it


def test_standard_errors_of_replicates_are_averaged_without_failures():
    values = table({("a", 0): "diverged"}, a=[1.0, 2.0, 3.0]).assign(standard_error=[9.0, 0.1, 0.3])
    assert statistics.summarise(values).iloc[0]["standard_error"] == pytest.approx(0.2)
    assert np.isnan(statistics.summarise(table(a=[1.0])).iloc[0]["standard_error"])


def test_interval_is_the_same_each_time():
    x = np.random.default_rng(0).standard_normal(statistics.FEW)
    assert statistics.interval(x) == statistics.interval(x)


def test_one_replicate_has_no_interval_and_equal_ones_have_no_width():
    assert np.isnan(statistics.interval(np.array([3.0]))).all()
    assert np.isnan(statistics.interval(np.array([]))).all()
    assert statistics.interval(np.array([3.0, 3.0, 3.0])) == (3.0, 3.0)


def test_failures_and_values_that_are_not_finite_are_counted_apart():
    values = table({("a", 0): "diverged", ("a", 1): "out_of_memory", ("a", 2): "timeout"},
                   a=[None, None, 5.0, np.inf, np.nan])  # fmt: skip
    found = statistics.summarise(values).iloc[0]
    assert found["mean"] == 5.0
    assert (found["n"], found["failed"], found["not_finite"]) == (1, 2, 2)


def test_a_failed_replicate_does_not_count_with_the_value_it_happens_to_have():
    found = statistics.summarise(table({("a", 0): "diverged"}, a=[1e9, 1.0, 1.0])).iloc[0]
    assert found["mean"] == 1.0


def test_clear_winner_in_both_directions():
    values = table(a=[1.0, 1.2, 0.9, 1.1], b=[5.0, 5.1, 4.9, 5.2])
    assert ranks(statistics.rank(values, higher_is_better=False)) == {"a": 1, "b": 2}
    assert ranks(statistics.rank(values, higher_is_better=True)) == {"b": 1, "a": 2}
    assert tied(statistics.rank(values, higher_is_better=False)) == set()


def test_tie_is_told_from_a_difference_that_pairing_reveals():
    luck = np.array([0.0, 3.0, -2.0, 5.0, 1.0, -4.0])
    values = table(
        best=luck,
        alike=luck + np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.05]),
        worse=luck + np.array([0.5, 0.6, 0.4, 0.5, 0.6, 0.5]),
    )
    found = statistics.rank(values, higher_is_better=False)
    assert tied(found) == {"best", "alike"}
    assert ranks(found)["worse"] == 3


def test_no_difference_at_all_shares_the_first_place():
    found = statistics.rank(table(a=[1.0, 2.0], b=[1.0, 2.0], c=[1.0, 2.0]), False)
    assert ranks(found) == {"a": 1, "b": 1, "c": 1}
    assert tied(found) == {"a", "b", "c"}


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
def test_failed_or_not_finite_comes_last_in_either_direction(bad, higher_is_better):
    found = statistics.rank(table(a=[1.0, 1.0], b=[2.0, 2.0], c=[bad, bad]), higher_is_better)
    assert ranks(found)["c"] == 3
    assert "c" not in tied(found)


def test_a_failure_costs_places_but_not_everything():
    values = table({("risky", 0): "diverged"}, risky=[0.0, 0.1, 0.1, 0.1],
                   steady=[1.0, 1.1, 1.0, 1.1], poor=[9.0, 9.0, 9.0, 9.0])  # fmt: skip
    found = statistics.rank(values, higher_is_better=False).set_index("method")
    assert found["mean_rank"].to_dict() == {"risky": 1.5, "steady": 1.75, "poor": 2.75}


def test_a_model_with_failures_never_wins_alone():
    values = table({("risky", 0): "diverged"}, risky=[0.0, 0.1, 0.1, 0.1],
                   steady=[1.0, 1.1, 1.0, 1.1], poor=[9.0, 9.1, 9.0, 9.1])  # fmt: skip
    assert tied(statistics.rank(values, higher_is_better=False)) == {"risky", "steady"}


def test_a_failure_does_not_hide_that_a_model_is_worse():
    values = table({("b", 0): "diverged"}, a=[1.0, 1.2, 0.9, 1.1], b=[0.0, 5.1, 4.9, 5.2])
    assert best(statistics.rank(values, False)) == {"a"}


def test_what_cannot_be_compared_is_tied():
    values = table({("b", 0): "diverged", ("b", 1): "diverged"}, a=[1.0, 1.1, 1.2],
                   b=[0.0, 0.0, 50.0], c=[None, None, None])  # fmt: skip
    assert tied(statistics.rank(values, False)) == {"a", "b"}


def test_where_all_fail_none_is_best():
    found = statistics.rank(table(a=[None, None], b=[np.inf, np.nan]), False)
    assert best(found) == tied(found) == set()


def test_a_missing_replicate_counts_as_the_worst():
    values = table(a=[1.0, 1.0, 1.0], b=[2.0, 2.0])
    found = statistics.rank(values, False).set_index("method")
    assert found.loc["a", "mean_rank"] == 1.0
    assert found.loc["b", "mean_rank"] == 2.0


def test_one_replicate_tells_nothing_apart():
    found = statistics.rank(table(a=[1.0], b=[5.0]), False)
    assert ranks(found) == {"a": 1, "b": 2}
    assert tied(found) == {"a", "b"}
    assert "chance" in statistics.caution(1)


def test_caution_where_replicates_are_few():
    assert "normal distribution" in statistics.caution(3)
    assert statistics.caution(statistics.FEW) == ""


def test_byproducts_are_ranked_beside_energies():
    values = pd.concat([table(a=[2.0, 2.1], b=[3.0, 3.1]), table(model="flow", a=[1.0, 1.1])])
    found = statistics.rank(values, False)
    assert found[["method", "model"]].values.tolist() == [
        ["a", "flow"], ["a", "energy"], ["b", "energy"],
    ]  # fmt: skip


def test_nothing_to_rank():
    empty = table(a=[1.0]).iloc[:0]
    assert statistics.rank(empty, False).empty
    assert statistics.overall({"d": statistics.rank(empty, False)}).empty


def test_overall_never_rewards_a_missing_dataset():
    found = statistics.overall(
        {
            "first": statistics.rank(table(a=[1.0], b=[2.0]), False),
            "second": statistics.rank(table(a=[2.0], b=[1.0], c=[0.0]), False),
        }
    ).set_index("method")
    assert found["average_rank"].to_dict() == {"c": 1.0, "b": 2.0, "a": 2.0}
    assert found["datasets"].to_dict() == {"a": 2, "b": 2, "c": 1}
    assert found.index[-1] == "c"
    assert np.isnan(found.loc["c", "first"])
