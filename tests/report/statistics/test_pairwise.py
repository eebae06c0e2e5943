import numpy as np
import pandas as pd
import pytest
import scipy.stats
from factories.replicates import table

from ebm_bench.report.statistics import friedman, pairwise
from ebm_bench.report.statistics.intervals import caution


def ranks(found):
    return dict(zip(found["method"], found["rank"], strict=True))


def best(found):
    return set(found.loc[found["best"], "method"])


def tied(found):
    return set(found.loc[found["tied"], "method"])


def test_clear_winner_in_both_directions():
    values = table(a=[1.0, 1.2, 0.9, 1.1], b=[5.0, 5.1, 4.9, 5.2])
    assert ranks(pairwise.rank(values, higher_is_better=False)) == {"a": 1, "b": 2}
    assert ranks(pairwise.rank(values, higher_is_better=True)) == {"b": 1, "a": 2}
    assert tied(pairwise.rank(values, higher_is_better=False)) == set()


def test_tie_is_told_from_a_difference_that_pairing_reveals():
    luck = np.array([0.0, 3.0, -2.0, 5.0, 1.0, -4.0])
    values = table(
        best=luck,
        alike=luck + np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.05]),
        worse=luck + np.array([0.5, 0.6, 0.4, 0.5, 0.6, 0.5]),
    )
    found = pairwise.rank(values, higher_is_better=False)
    assert tied(found) == {"best", "alike"}
    assert ranks(found)["worse"] == 3


def test_the_reference_is_the_best_that_is_whole():
    values = table({("a", 0): "diverged"}, a=[0.0, 0.1, 0.2, 0.1], b=[1.0, 1.1, 1.2, 1.1],
                   c=[2.0, 2.1, 2.3, 2.2])  # fmt: skip
    found = pairwise.rank(values, False).set_index("method")
    assert found["reference"].to_dict() == {"a": False, "b": True, "c": False}
    assert not pairwise.rank(table(a=[None], b=[None]), False)["reference"].any()


def equal_methods(rng, methods=5, replicates=5):
    luck = rng.standard_normal(replicates)  # which all share
    return table(**{f"m{i}": luck + rng.standard_normal(replicates) for i in range(methods)})


def test_equal_methods_are_told_apart_no_more_often_than_the_level_allows():
    rng = np.random.default_rng(0)
    tables = [equal_methods(rng) for _ in range(80)]
    clear = [not pairwise.rank(values, False)["best"].all() for values in tables]
    assert np.mean(clear) <= 0.1  # at a level of 5 %, two standard errors above
    pairs = [pairwise.compare(values, False) for values in tables[:20]]
    assert np.mean([found["better"].any() for found in pairs]) <= 0.16
    single = np.mean([(found["p"] < 0.05).any() for found in pairs])
    assert single > 0.2  # without the correction there would be something to see in noise


def test_a_difference_is_measured_with_its_interval_and_p_value():
    luck = np.array([0.0, 3.0, -2.0, 5.0])
    difference = np.array([1.0, 1.2, 0.9, 1.1])
    (found,) = pairwise.compare(table(a=luck, b=luck + difference), False).to_dict("records")
    assert (found["method"], found["other_method"], found["n"]) == ("a", "b", 4)
    assert found["difference"] == pytest.approx(-1.05)
    expected = scipy.stats.ttest_rel(luck, luck + difference)
    assert found["p"] == found["p_corrected"] == pytest.approx(expected.pvalue)
    assert (found["low"], found["high"]) == pytest.approx(expected.confidence_interval(0.95))
    assert found["better"]


def test_a_difference_keeps_the_sign_of_the_metric():
    values = table(a=[1.0, 1.2, 0.9, 1.1], b=[5.0, 5.1, 4.9, 5.2])
    (found,) = pairwise.compare(values, True).to_dict("records")
    assert (found["method"], found["other_method"]) == ("b", "a")
    assert found["difference"] == pytest.approx(4.0)
    assert 0 < found["low"] < 4.0 < found["high"]
    assert found["better"]


def test_exact_ties_have_no_difference():
    found = pairwise.compare(table(a=[1.0, 2.0, 4.0], b=[1.0, 2.0, 4.0]), False).iloc[0]
    assert (found["difference"], found["p"], found["better"]) == (0.0, 1.0, False)


def test_rounding_is_no_difference():
    a = [1.0, 2.0, 3.0]
    found = pairwise.compare(table(a=a, b=[x + 1e-13 for x in a]), False).iloc[0]
    assert found["p"] == 1.0
    assert not found["better"]
    assert best(pairwise.rank(table(a=a, b=[x + 1e-13 for x in a]), False)) == {"a", "b"}


@pytest.mark.parametrize("noise", [0.0, 1e-15])
def test_two_equal_differences_show_no_scatter(noise):
    found = pairwise.compare(table(a=[1.0, 2.0], b=[1.5, 2.5 + noise]), False).iloc[0]
    assert np.isnan(found["p"])
    assert not found["better"]
    found = pairwise.compare(table(a=[1.0, 2.0, 3.0], b=[1.5, 2.5 + noise, 3.5]), False).iloc[0]
    assert found["p"] < 1e-6
    assert found["better"]


def test_nothing_is_said_in_favour_of_what_failed():
    values = table({("risky", 0): "diverged"}, risky=[0.0, 0.1, 0.2, 0.1, 0.15],
                   steady=[9.0, 9.1, 9.3, 9.2, 9.1])  # fmt: skip
    found = pairwise.compare(values, False).iloc[0]
    assert found["n"] == 4
    assert found["difference"] == pytest.approx(-9.0375)
    assert np.isnan(found["p"])
    assert not found["better"]
    swapped = pairwise.compare(values.assign(value=-values["value"]), False).iloc[0]
    assert (swapped["method"], swapped["better"]) == ("steady", True)


def test_a_failure_in_the_same_replicate_is_no_advantage():
    values = table({("a", 0): "diverged", ("b", 0): "diverged"}, a=[0.0, 1.0, 1.2, 0.9],
                   b=[0.0, 5.0, 5.1, 4.9])  # fmt: skip
    assert pairwise.compare(values, False)["better"].all()


def test_failures_turn_a_ranking():
    steady, risky = [1.0, 1.1, 1.0, 1.2], [0.5, 0.6, 0.4, 0.5]
    assert ranks(pairwise.rank(table(risky=risky, steady=steady), False))["risky"] == 1
    failed = {("risky", r): "diverged" for r in range(3)}
    found = pairwise.rank(table(failed, risky=risky, steady=steady), False)
    assert ranks(found) == {"steady": 1, "risky": 2}


def test_holm_of_known_p_values():
    assert pairwise.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert pairwise.holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]
    unknown = pairwise.holm(np.array([0.01, np.nan]))
    assert unknown[0] == pytest.approx(0.02)  # what could not be tested still counts
    assert np.isnan(unknown[1])


def test_no_difference_at_all_shares_the_first_place():
    found = pairwise.rank(table(a=[1.0, 2.0], b=[1.0, 2.0], c=[1.0, 2.0]), False)
    assert ranks(found) == {"a": 1, "b": 1, "c": 1}
    assert tied(found) == {"a", "b", "c"}


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
def test_failed_or_not_finite_comes_last_in_either_direction(bad, higher_is_better):
    found = pairwise.rank(table(a=[1.0, 1.0], b=[2.0, 2.0], c=[bad, bad]), higher_is_better)
    assert ranks(found)["c"] == 3
    assert "c" not in tied(found)


def test_a_failure_costs_places_but_not_everything():
    values = table({("risky", 0): "diverged"}, risky=[0.0, 0.1, 0.1, 0.1],
                   steady=[1.0, 1.1, 1.0, 1.1], poor=[9.0, 9.0, 9.0, 9.0])  # fmt: skip
    found = pairwise.rank(values, higher_is_better=False).set_index("method")
    assert found["mean_rank"].to_dict() == {"risky": 1.5, "steady": 1.75, "poor": 2.75}


def test_a_model_with_failures_never_wins_alone():
    values = table({("risky", 0): "diverged"}, risky=[0.0, 0.1, 0.1, 0.1],
                   steady=[1.0, 1.1, 1.0, 1.1], poor=[9.0, 9.1, 9.0, 9.1])  # fmt: skip
    assert tied(pairwise.rank(values, higher_is_better=False)) == {"risky", "steady"}


def test_a_failure_does_not_hide_that_a_model_is_worse():
    values = table({("b", 0): "diverged"}, a=[1.0, 1.2, 0.9, 1.1], b=[0.0, 5.1, 4.9, 5.2])
    assert best(pairwise.rank(values, False)) == {"a"}


def test_what_cannot_be_compared_is_tied():
    values = table({("b", 0): "diverged", ("b", 1): "diverged"}, a=[1.0, 1.1, 1.2],
                   b=[0.0, 0.0, 50.0], c=[None, None, None])  # fmt: skip
    assert tied(pairwise.rank(values, False)) == {"a", "b"}


def test_where_all_fail_none_is_best():
    found = pairwise.rank(table(a=[None, None], b=[np.inf, np.nan]), False)
    assert best(found) == tied(found) == set()


def test_a_missing_replicate_counts_as_the_worst():
    values = table(a=[1.0, 1.0, 1.0], b=[2.0, 2.0])
    found = pairwise.rank(values, False).set_index("method")
    assert found.loc["a", "mean_rank"] == 1.0
    assert found.loc["b", "mean_rank"] == 2.0


def test_one_replicate_tells_nothing_apart():
    found = pairwise.rank(table(a=[1.0], b=[5.0]), False)
    assert ranks(found) == {"a": 1, "b": 2}
    assert tied(found) == {"a", "b"}
    assert "no difference can be tested" in caution(1)


def test_byproducts_are_ranked_beside_energies():
    values = pd.concat([table(a=[2.0, 2.1], b=[3.0, 3.1]), table(model="flow", a=[1.0, 1.1])])
    found = pairwise.rank(values, False)
    assert found[["method", "model"]].values.tolist() == [
        ["a", "flow"], ["a", "energy"], ["b", "energy"],
    ]  # fmt: skip


def test_on_the_log_scale_a_difference_is_a_factor():
    a, factor = np.array([0.1, 5.0, 0.3, 2.0]), np.array([2.0, 2.2, 1.9, 2.1])
    (found,) = pairwise.compare(table(a=a, b=a * factor), False, "log").to_dict("records")
    expected = scipy.stats.ttest_rel(np.log(a), np.log(a * factor))
    assert found["difference"] == pytest.approx(1 / scipy.stats.gmean(factor))
    assert found["p"] == pytest.approx(expected.pvalue)
    ends = np.exp(expected.confidence_interval(0.95))
    assert (found["low"], found["high"]) == pytest.approx(tuple(ends))
    ranked = pairwise.rank(table(a=a, b=a * factor), False, "log").set_index("method")
    assert ranked.loc["b", "difference"] == pytest.approx(scipy.stats.gmean(factor))
    assert np.isnan(ranked.loc["a", "difference"])  # the reference itself
    higher = pairwise.rank(table(a=a, b=a * factor), True, "log").set_index("method")
    assert higher.loc["a", "difference"] == pytest.approx(1 / scipy.stats.gmean(factor))
    assert best(higher.reset_index()) == {"b"}


@pytest.mark.parametrize(("scale", "error"), [("linear", 0.3), ("log", 0.3)])
def test_the_error_of_the_evaluation_adds_its_variance(scale, error):
    values = table(a=[1.0, 1.1, 0.9, 1.0], b=[2.0, 2.1, 1.8, 2.1])
    values["standard_error"] = error
    found = pairwise.compare(values, False, scale).iloc[0]
    exact = pairwise.compare(values.assign(standard_error=None), False, scale).iloc[0]
    x = values["value"].to_numpy().reshape(2, 4)
    own = np.full(x.shape, error) if scale == "linear" else error / x
    assert found["error"] == pytest.approx(np.hypot(exact["error"], np.sqrt((own**2).sum()) / 4))
    assert found["p"] > exact["p"]
    assert found["difference"] == pytest.approx(exact["difference"])


def test_a_value_that_is_not_compared_hides_no_difference():
    """One that is far too large in a replicate in which the other failed."""
    a, b = [1.0, 1.1, 0.9, 1.05], [2.0, 2.1, 1.95, 2.0]
    alone = pairwise.compare(table(a=a, b=b), False).iloc[0]
    found = pairwise.compare(table(a=[*a, 1e12], b=[*b, None]), False).iloc[0]
    assert found["p"] == pytest.approx(alone["p"])
    assert found["p"] < 0.001


def test_the_smallest_difference_a_table_can_detect():
    rng = np.random.default_rng(0)
    x = np.exp(0.35 * rng.standard_normal((14, 20)))
    pairs = pairwise.compare(table(**{f"m{i}": row for i, row in enumerate(x)}), False, "log")
    least = pairwise.detectable(pairs, "log")
    error = 0.35 * np.sqrt(2 / 20)
    quantiles = scipy.stats.t.isf(0.025 / 91, 19) + scipy.stats.t.ppf(0.8, 19)
    assert least == pytest.approx(np.exp(quantiles * error), rel=0.1)
    assert np.isnan(pairwise.detectable(pairs.iloc[:0], "log"))
    assert np.isnan(pairwise.detectable(pairwise.compare(table(a=[1.0], b=[2.0]), False), "log"))


def test_nothing_to_rank():
    empty = table(a=[1.0]).iloc[:0]
    assert pairwise.rank(empty, False).empty
    assert friedman.overall({"d": pairwise.rank(empty, False)}).empty
