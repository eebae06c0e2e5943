import numpy as np
import pandas as pd
import pytest
from factories.replicates import table

from ebm_bench.report.statistics import friedman, pairwise
from ebm_bench.report.tables import captions

# Area under the ROC curve of C4.5 without and with a tuned minimal number of examples in a
# leaf, a tuned confidence level, and both (Demšar 2006, table 6); two values of the one but
# last line differ in a digit that the paper does not print.
AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def rankings(losses, names="abcdefghijkl"):
    """What ranks the columns of (datasets, methods); NaN where a method is not ranked."""
    return {
        str(i): pd.DataFrame(
            {"method": list(names[: len(row)]), "model": "energy", "mean_rank": row}
        ).dropna()
        for i, row in enumerate(losses)
    }


def test_the_worked_example_of_demsar():
    found = friedman.over_datasets(rankings(-AUC))
    ranks = {method: rank for (method, _), rank in found.ranks.items()}
    published = {"a": 3.143, "b": 2.000, "c": 2.893, "d": 1.964}
    assert ranks == pytest.approx(published, abs=5e-4)
    # The paper leaves out the correction for ties: three pairs and one quadruple.
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4))
    assert found.statistic * ties == pytest.approx(9.28, abs=0.01)
    assert found.p < 0.05
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.pairs.to_numpy().min() > 0.05  # as the paper finds at this level


@pytest.mark.parametrize(
    ("models", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (7, 2.949), (10, 3.164)],
)
def test_critical_differences_follow_the_published_quantiles(models, quantile):
    expected = quantile * np.sqrt(models * (models + 1) / (6 * 9))
    assert friedman.critical_difference(models, 9) == pytest.approx(expected, rel=1e-3)


def test_a_clear_winner_over_datasets_is_found():
    rng = np.random.default_rng(0)
    losses = np.array([0.0, 5.0, 5.2, 5.1]) + rng.standard_normal((15, 4))
    found = friedman.over_datasets(rankings(losses))
    assert found.p < 0.001
    assert found.ranks.index[0] == ("a", "energy")
    pairs = found.pairs.droplevel(1).droplevel(1, axis=1)
    assert (pairs.loc["a", ["b", "c", "d"]] < 0.05).all()
    assert pairs.loc["b", "c"] > 0.05
    # the critical difference and the p values say the same
    ranks = found.ranks.to_numpy()
    apart = np.abs(ranks[:, None] - ranks) > found.critical_difference
    order = found.ranks.index
    assert (apart == (found.pairs.loc[order, order] < 0.05).to_numpy()).all()


def test_without_any_difference_the_level_is_kept():
    rng = np.random.default_rng(0)
    found = [
        friedman._friedman(pd.DataFrame(rng.standard_normal((8, 5))).rank(axis=1).to_numpy().T)[1]
        for _ in range(400)
    ]
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.08


def test_pairs_are_told_apart_only_where_friedman_finds_a_difference():
    losses = np.random.default_rng(5).standard_normal((6, 5))
    found = friedman.over_datasets(rankings(losses))
    assert found.p > 0.05
    assert (found.pairs == 1).all(axis=None)
    assert "no difference is found" in captions.verdict(found)


def test_ties_on_every_dataset_are_no_difference():
    found = friedman.over_datasets(rankings(np.ones((5, 3))))
    assert (found.statistic, found.p) == (0.0, 1.0)
    assert found.ranks.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("methods", [3, 6, 12])
def test_two_datasets_decide_nothing_and_it_is_said(methods):
    losses = np.tile(np.arange(methods, dtype=float), (2, 1))
    found = friedman.over_datasets(rankings(losses))
    assert not found.decides
    assert not (found.pairs < 0.05).any(axis=None)
    assert "2 datasets are too few" in captions.verdict(found)


def test_enough_datasets_decide():
    losses = np.tile(np.arange(4.0), (6, 1))
    found = friedman.over_datasets(rankings(losses))
    assert found.decides
    assert (found.pairs < 0.05).any(axis=None)
    assert "too few" not in captions.verdict(found)


def test_a_method_missing_on_a_dataset_is_left_out_and_named():
    losses = np.tile(np.arange(4.0), (6, 1))
    losses[2, 0] = np.nan
    found = friedman.over_datasets(rankings(losses))
    assert found.left_out == [("a", "energy")]
    # The others are ranked among themselves: a's absence moves nobody.
    assert found.ranks.tolist() == [1.0, 2.0, 3.0]
    assert "Left out, as not ranked on every dataset: a." in captions.verdict(found)


def test_too_few_to_compare():
    assert friedman.over_datasets(rankings(np.ones((1, 5)))) is None
    assert friedman.over_datasets(rankings(np.ones((5, 2)))) is None


def told(losses):
    """Who leads the overall table of made-up places, and what is said of how sure that is."""
    ranked = rankings(losses)
    united = friedman.overall({n: r.assign(rank=r["mean_rank"]) for n, r in ranked.items()})
    leader = tuple(united.loc[0, friedman.ROW])
    return leader[0], captions.certainty(friedman.over_datasets(ranked), leader)


# Places of five methods, of which the last two stand between a and b on one dataset alone.
GAP = [1, 4, 5, 2, 3]
A_WINS, B_WINS, C_SECOND = [1, 2, 3, *[np.nan] * 2], [2, 1, 3, *[np.nan] * 2], [1, 3, 2]


def test_nothing_is_said_of_what_is_not_ranked_on_every_dataset():
    scope = "Among the methods ranked on every dataset, "
    # With all methods a has an average rank of 11/7 and b of 12/7, among the three b has 10/7.
    places = np.array([GAP, *[A_WINS] * 2, *[B_WINS] * 4], dtype=float)
    assert told(places) == ("a", f"{scope}b is first, and not significantly different from it: a.")
    even = np.array([GAP, *[A_WINS] * 2, *[B_WINS] * 3], dtype=float)
    for order in ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4]):
        leader, sure = told(even[:, order])
        other = {"a": "b", "b": "a"}[leader]
        assert sure == f"{scope}not significantly different from it: {other}."
    clear = np.array([GAP, *[A_WINS] * 3, *[[*C_SECOND, np.nan, np.nan]] * 4], dtype=float)
    assert told(clear) == ("a", f"{scope}it is significantly different from all others.")


def test_a_leader_of_methods_that_are_all_compared_is_told_apart_or_not():
    apart = np.array([[1, 2, 3], C_SECOND] * 4, dtype=float)
    assert told(apart) == ("a", "It is significantly different from all others.")
    assert told(np.ones((8, 3)))[1] == "Not significantly different from it: b, c."
    assert "too few datasets" in told(apart[:2])[1]
    assert "too few methods" in told(apart[:, :2])[1]


def test_overall_gives_ties_the_average_of_their_places():
    values = table(a=[1.0, 2.0], b=[1.0, 2.0], c=[3.0, 4.0])
    found = friedman.overall({"d": pairwise.rank(values, False)}).set_index("method")
    assert found["d"].to_dict() == {"a": 1, "b": 1, "c": 3}
    assert found["average_rank"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_overall_never_rewards_a_missing_dataset():
    found = friedman.overall(
        {
            "first": pairwise.rank(table(a=[1.0], b=[2.0]), False),
            "second": pairwise.rank(table(a=[2.0], b=[1.0], c=[0.0]), False),
        }
    ).set_index("method")
    assert found["average_rank"].to_dict() == {"c": 1.0, "b": 2.0, "a": 2.0}
    assert found["datasets"].to_dict() == {"a": 2, "b": 2, "c": 1}
    assert found.index[-1] == "c"
    assert np.isnan(found.loc["c", "first"])
