"""Verdicts on claims, of numbers that are made up."""

import numpy as np
import pandas as pd
import pytest
from factories.papers import CLAIM, KL, make_paper, make_varied, values

from ebm_bench.report.statistics.intervals import student
from ebm_bench.studies.papers.claims import NOT, OPEN, REPRODUCED, check

B = [1.0, 2.0, 4.0, 8.0]


def decide(paper, table):
    (verdict,) = check(paper, table)
    return verdict


def compared(a, b=B, **changes):
    return decide(make_paper({**CLAIM, **changes}), values({"a": a, "b": b}))


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.05, REPRODUCED), (20, NOT), ([0.5, 2, 0.4, 2.2], OPEN)],
)
def test_a_ratio_is_decided_by_its_whole_interval(factor, verdict):
    assert compared(list(np.array(B) * factor)).verdict == verdict


def test_ratios_are_paired_by_replicate_on_the_log_scale():
    factors = np.array([0.5, 0.6, 0.4, 0.55])
    found = compared(list(np.array(B) * factors)).found
    low, high = np.exp(student(np.log(factors)))
    assert found.mean == pytest.approx(np.exp(np.log(factors).mean()))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_by_how_much_is_part_of_the_claim():
    third = list(np.array(B) * [0.3, 0.33, 0.36, 0.32])
    assert compared(third).verdict == REPRODUCED
    assert compared(third, below=0.1).verdict == NOT
    assert compared(third, below=0.33).verdict == OPEN
    assert compared(third, below=None, above=0.2).verdict == REPRODUCED
    assert compared(third, below=0.4, above=0.2).verdict == REPRODUCED
    assert compared(third, below=0.2, above=0.1).verdict == NOT


def test_an_interval_that_ends_at_the_limit_is_not_within():
    assert compared([1.0, 2, 4, 8]).verdict == NOT  # equal: not better


def test_the_order_of_rows_does_not_matter():
    table = values({"a": [1.0, 2, 3, 5], "b": B}).sample(frac=1, random_state=0)
    ordered = values({"a": [1.0, 2, 3, 5], "b": B})
    paper = make_paper()
    assert decide(paper, table).found == decide(paper, ordered).found


class TestFailures:
    def test_a_failure_of_the_better_alone_leaves_it_open(self):
        found = compared([0.01, 0.02, 0.04, None])
        assert found.verdict == OPEN
        assert found.found.note == "3 of 4"

    def test_a_failure_of_the_worse_speaks_for_the_better(self):
        assert compared([0.01, 0.02, 0.041, 0.08], [1, 2, 4, None]).verdict == REPRODUCED

    @pytest.mark.parametrize(
        ("limits", "a", "b", "verdict"),
        [
            # Three replicates speak for the claim, and a failure of the first model against it.
            ({"below": 6}, [0.01, 0.02, 0.04, None], B, OPEN),
            ({"below": 2}, [1.3, 2.5, 5.1, None], B, OPEN),
            ({"below": None, "above": 0.2}, [0.3, 0.6, 1.2, None], B, REPRODUCED),
            # A failure of the second model speaks for a small ratio.
            ({"below": 0.1}, [0.3, 0.6, 1.2, 2.4], [1.0, 2.0, 4.0, None], OPEN),
            ({"below": None, "above": 0.1}, [0.3, 0.6, 1.2, 2.4], [1.0, 2.0, 4.0, None], OPEN),
            ({"below": 0.5}, [0.3, 0.61, 1.2, 2.4], [1.0, 2.0, 4.0, None], REPRODUCED),
            # Where both failed, nothing is to be compared.
            ({"below": 0.5}, [0.3, 0.61, 1.2, None], [1.0, 2.0, 4.0, None], REPRODUCED),
        ],
    )
    def test_a_lone_failure_counts_as_beyond_any_limit(self, limits, a, b, verdict):
        assert compared(a, b, **limits).verdict == verdict

    def test_what_failed_does_not_count_even_with_a_value(self):
        table = values({"a": [0.01, 0.02, 0.04, 0.08], "b": B})
        table.loc[(table["method"] == "a") & (table["replicate"] == 3), "status"] = "escaped"
        assert decide(make_paper(), table).verdict == OPEN

    def test_infinity_is_a_failure(self):
        assert compared([0.01, 0.02, 0.04, np.inf]).verdict == OPEN

    @pytest.mark.parametrize("numbers", [[None] * 4, [0.1, None, None, None]])
    def test_too_few_are_open(self, numbers):
        assert compared(numbers).verdict == OPEN

    def test_a_single_replicate_is_open(self):
        assert compared([0.1], [1.0]).verdict == OPEN

    def test_a_method_without_rows_is_open(self):
        assert decide(make_paper(), values({"a": B})).verdict == OPEN

    def test_a_value_leaves_none_out(self):
        claim = {"claim": "a arrives", "published": "-", "value": "a", "below": 10}
        near = [2.0, 2.1, 1.9, 2.05]
        assert decide(make_paper(claim), values({"a": near})).verdict == REPRODUCED
        assert decide(make_paper(claim), values({"a": [*near[:3], None]})).verdict == OPEN


@pytest.mark.parametrize(
    ("status", "verdict", "note"),
    [("ok", OPEN, "not converged"), ("diverged", REPRODUCED, "3 of 4")],
)
@pytest.mark.parametrize("which", ["a", "b"])
def test_what_did_not_converge_decides_nothing(status, verdict, note, which):
    table = values({"a": list(np.array(B) * 0.05), "b": B})
    parts = table.assign(metric=f"{KL}.converged", value=1.0)
    doubtful = (parts["method"] == which) & (parts["replicate"] == 2)
    parts.loc[doubtful, "value"] = 0.0
    table = pd.concat([table, parts], ignore_index=True)
    # Of a replicate of which one failed nothing is compared, and so nothing is in doubt.
    table.loc[(table["replicate"] == 2) & (table["method"] == "b"), "status"] = status
    found = decide(make_paper(), table)
    assert (found.verdict, found.found.note) == (verdict, note)


DIFFERENCE = {
    **{"claim": "a is better", "published": "-", "difference": ["a", "b"], "below": 0},
    "metric": "negative_log_likelihood",
}


class TestDifferences:
    def decide(self, a, b, **changes):
        table = values({"a": a, "b": b}, metric="negative_log_likelihood")
        return decide(make_paper({**DIFFERENCE, **changes}), table)

    def test_they_are_paired_by_replicate_and_may_be_negative(self):
        a, b = np.array([-9.0, 1.0, 11.0]), np.array([-8.0, 2.5, 12.0])
        found = self.decide(list(a), list(b))
        low, high = student(a - b)
        assert found.verdict == REPRODUCED
        assert found.found.mean == pytest.approx((a - b).mean())
        assert (found.found.low, found.found.high) == pytest.approx((low, high))
        assert found.about == "negative_log_likelihood of a less b, two_moons"

    def test_the_other_order_is_not_reproduced(self):
        assert self.decide([-8.0, 2.5, 12.0], [-9.0, 1.0, 11.0]).verdict == NOT
        assert self.decide([1.0, 2.0, 3.0], [2.0, 1.0, 3.1]).verdict == OPEN

    @pytest.mark.parametrize(
        ("a", "b", "limits", "verdict"),
        [
            # A failure counts as a difference beyond any limit, below zero too.
            ([1.0, 2.0, None], [2.0, 3.1, 4.0], {"below": 0}, OPEN),
            ([1.0, 2.0, 3.0], [2.0, 3.1, None], {"below": 0}, REPRODUCED),
            ([1.0, 2.0, 3.0], [2.0, 3.001, None], {"above": -2, "below": None}, OPEN),
            ([1.0, 2.0, None], [2.0, 3.001, 4.0], {"above": -2, "below": None}, REPRODUCED),
            ([1.0, 2.0, None], [2.0, 3.1, None], {"below": 0}, REPRODUCED),
        ],
    )
    def test_a_lone_failure_counts_as_beyond_any_limit(self, a, b, limits, verdict):
        assert self.decide(a, b, **limits).verdict == verdict

    def test_the_second_can_be_at_another_value_of_the_knob(self):
        paper = make_varied({**DIFFERENCE, "difference": ["a", "a"], "at": 10, "against": 1})
        table = pd.concat(
            values({"a": numbers}, metric="negative_log_likelihood", knob=knob)
            for knob, numbers in [(1.0, [1.0, 2.0, 3.0]), (10.0, [-1.0, 0.1, 1.0])]
        )
        assert decide(paper, table).found.mean == pytest.approx((-2 - 1.9 - 2) / 3)


def test_a_value_is_a_geometric_mean():
    claim = {"claim": "a arrives", "published": "-", "value": "a", "below": 100}
    found = decide(make_paper(claim), values({"a": B, "b": B}))
    low, high = np.exp(student(np.log(B)))
    assert (found.found.low, found.found.mean, found.found.high) == pytest.approx(
        (low, np.sqrt(8), high)
    )
    assert found.verdict == REPRODUCED


def test_another_metric_may_be_linear():
    claim = {
        **{"claim": "-", "published": "-", "value": "a", "below": 0},
        "metric": "negative_log_likelihood",
    }
    table = values({"a": [-1.0, -2, -3, -2]}, metric="negative_log_likelihood")
    found = decide(make_paper(claim), table)
    assert found.found.mean == -2
    assert found.verdict == REPRODUCED


def test_byproducts_have_names_of_their_own():
    claim = {**CLAIM, "ratio": ["a (flow)", "a"]}
    table = pd.concat(
        [values({"a": np.array(B) * [0.1, 0.2, 0.15, 0.12]}, model="flow"), values({"a": B})]
    )
    assert decide(make_paper(claim), table).verdict == REPRODUCED


def powers(exponent, spread=0.0):
    rng = np.random.default_rng(0)
    numbers = {k: np.array(B) * k**exponent * np.exp(spread * rng.normal(size=4)) for k in KNOB}
    return pd.concat([values({"a": own, "b": B}, knob=k) for k, own in numbers.items()])


KNOB = (0.1, 1.0, 10.0)
SLOPE = {"claim": "falls", "published": "1/σ²", "slope": "a", "below": -1.5, "above": -2.5}


@pytest.mark.parametrize(("exponent", "verdict"), [(-2, REPRODUCED), (-1, NOT), (0, NOT)])
def test_a_slope_is_the_exponent_of_a_power(exponent, verdict):
    found = decide(make_varied(SLOPE), powers(exponent, 0.01))
    assert found.found.mean == pytest.approx(exponent, abs=0.02)
    assert found.verdict == verdict


def test_a_slope_with_much_noise_is_open():
    assert decide(make_varied(SLOPE), powers(-2, 3.0)).verdict == OPEN


def test_a_slope_leaves_no_failure_out():
    table = powers(-2, 0.01)
    table.loc[(table["knob"] == 10) & (table["replicate"] == 3), "value"] = np.nan
    found = decide(make_varied(SLOPE), table)
    assert found.verdict == OPEN
    assert found.found.note == "3 of 4"


def test_two_values_of_the_knob_are_compared():
    claim = {**CLAIM, "ratio": ["a", "a"], "at": 10, "against": 1, "below": 0.02}
    assert decide(make_varied(claim), powers(-2, 0.01)).verdict == REPRODUCED
    assert decide(make_varied({**claim, "at": 1, "against": 10}), powers(-2, 0.01)).verdict == NOT


def test_estimates_have_no_floor():
    about = {"dataset": {"name": "gaussian"}, "energy": {"name": "quadratic"}}
    suite = {
        **{"kind": "estimation", "sizes": [10], "ratios": [1], "size": 10, "ratio": 1},
        "models": {"line": about},
        "methods": {
            "a": {"objective": "exact_score_matching"},
            "b": {"objective": "maximum_likelihood"},
        },
    }
    table = values({"a": [1e-9, 2e-9, 1e-9], "b": [1e-8, 1e-8, 1.1e-8]}, "line", "squared_error")
    found = decide(make_paper(suite=suite), table)
    assert found.verdict == REPRODUCED
    assert found.found.mean == pytest.approx((0.1 * 0.2 * 1 / 11) ** (1 / 3))
