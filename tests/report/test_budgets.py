import numpy as np
import pytest
from scipy.stats import gmean

from ebm_bench.report import budgets
from ebm_bench.report.files import UNITS
from ebm_bench.report.tables import captions, tables
from ebm_bench.report.tables.formats import frame


def by_label(results, dataset="plane"):
    return {row.label: row for row in results.rows(dataset)}


@pytest.fixture
def curve(change):
    """Replace the curve of a run by (step, seconds, evaluations, value), of every replicate."""

    def curve(dataset, method, points):
        def edit(record):
            shape = record["curve"][0]
            record["curve"] = [
                {**shape, "replicate": o["replicate"], "step": step, "seconds": seconds,
                 "energy_evaluations": evaluations, "value": value + 0.001 * o["replicate"]}
                for step, seconds, evaluations, value in points
                for o in record["outcomes"]
            ]  # fmt: skip

        return change(dataset, method, "run.json", edit)

    return curve


def test_the_budget_is_the_largest_that_every_method_reached(results):
    # Trainings take 15 (unlucky) to 120 s, and one second before their first step.
    limit = budgets.at_equal(results, "seconds").limits["plane"]
    assert (limit.amount, limit.method) == (16.0, "unlucky")
    for unit in ("steps", "evaluations"):
        assert budgets.at_equal(results, unit).limits["plane"].amount == 1000


def test_at_equal_steps_what_reached_them_all_stands_at_its_end(results):
    equal = budgets.at_equal(results, "steps")
    for row in equal.rows("plane"):
        if not row.control and row.label != "unlucky":
            ends = results.curves["plane", row.method].values[:, -1]
            assert equal.estimate("plane", row, "kl").mean == pytest.approx(gmean(ends))
            assert row.steps == 1000


def test_values_between_points_follow_the_logarithm_of_the_step(curve):
    points = [(0, 1.0, 0, 9.0), (1, 1.1, 100, 8.0), (10, 2.0, 1000, 6.0), (1000, 101.0, 10**5, 2.0)]
    results = curve("plane", "slow_100", points)
    limited = curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 10, 8.0), (100, 11.0, 10, 5.0)])
    assert limited.runs.keys() == results.runs.keys()
    # All methods reach 11 s: there, slow_100 has taken a hundred steps, half way between two
    # points on the logarithmic scale.
    equal = budgets.at_equal(limited, "seconds")
    assert equal.limits["plane"].amount == 11.0
    row = by_label(equal)["slow_100"]
    assert row.steps == 100
    assert equal.estimate("plane", row, "kl").mean == pytest.approx(4.0 + 0.0025)
    assert row.seconds == pytest.approx(11.0)
    assert row.run.cost.energy_evaluations == 10**4


def test_nothing_is_read_beyond_the_budget(curve):
    """What a method does after the budget changes nothing, up to the next point of its curve."""
    curve("plane", "unlucky", [(0, 1.0, 0, 2.0), (1, 1.1, 1, 2.0), (1000, 5.0, 1000, 0.1)])
    points = [(0, 1.0, 0, 9.0), (1, 2.0, 1, 8.0), (4, 5.0, 4, 6.0), (100, 101.0, 100, 2.0)]
    before = budgets.at_equal(curve("plane", "winner", points), "seconds")
    after = budgets.at_equal(
        curve("plane", "winner", [*points[:3], (100, 101.0, 100, 1e9)]), "seconds"
    )
    for view in (before, after):
        found = view.estimate("plane", by_label(view)["winner"], "kl")
        assert found.mean == pytest.approx(6.0025)


def test_no_part_of_a_step_counts(curve):
    """A budget that does not pay for one step leaves the untrained model."""
    curve("plane", "unlucky", [(0, 0.1, 0, 2.0), (1, 0.2, 1, 2.0), (1000, 3.0, 1000, 0.1)])
    results = curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 50.0, 1, 1.0), (2, 99.0, 2, 0.5)])
    equal = budgets.at_equal(results, "seconds")
    row = by_label(equal)["winner"]
    assert equal.limits["plane"].amount == 3.0
    assert row.steps == 0
    assert equal.estimate("plane", row, "kl").mean == pytest.approx(9.0025)


def test_a_method_that_could_not_start_has_no_value_and_says_so(curve):
    results = curve("plane", "winner", [(0, 40.0, 0, 9.0), (1, 41.0, 1, 1.0), (9, 49.0, 9, 0.5)])
    equal = budgets.at_equal(results, "seconds")
    row = by_label(equal)["winner"]
    assert row.rank is None
    assert row.status == "not started: set-up alone takes 40.0 s"
    table = frame(tables.dataset_table(equal, "plane")).set_index("Method")
    assert table.loc["winner", "KL [nats] ↓"] == "–"
    assert table.loc["winner", "Steps"] == "0"
    overall = frame(tables.overall_table(equal)).set_index("Method")
    assert overall.loc["winner", "Datasets"] == "1 of 2"
    assert overall.index[-1] == "winner"  # not having started never helps
    assert by_label(budgets.at_equal(results, "steps"))["winner"].rank


def fail_at(step, *replicates):
    def edit(record):
        for outcome in record["outcomes"]:
            if outcome["replicate"] in replicates:
                outcome.update(status="diverged", step=step)

    return edit


def test_what_failed_within_the_budget_ranks_last(curve, change):
    curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 1, 0.001), (50, 2.0, 50, 0.001)])
    results = change("plane", "winner", "run.json", fail_at(50, *range(6)))
    equal = budgets.at_equal(results, "steps")
    row = by_label(equal)["winner"]
    assert row.status == "6 of 6 diverged at step 50"
    assert row.rank == max(r.rank for r in equal.rows("plane") if r.rank)
    assert str(equal.estimate("plane", row, "kl")) == "failed"
    # and does not decide how far the others are followed
    assert equal.limits["plane"].amount == 1000


def test_some_failures_are_counted_in_the_cell(results):
    equal = budgets.at_equal(results, "steps")
    row = by_label(equal)["unlucky"]
    found = equal.estimate("plane", row, "kl")
    assert (found.n, found.failed) == (4, 2)
    assert row.status == "2 of 6 diverged at step 120"
    assert str(equal.estimate("plane", row, "kl")).endswith("(4 of 6)")


def test_what_failed_after_the_budget_ended_well_within_it(curve, change):
    curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 1, 5.0), (50, 2.0, 50, 1.0)])
    results = change("plane", "unlucky", "run.json", fail_at(120, 1, 4))
    equal = budgets.at_equal(results, "steps")
    assert equal.limits["plane"].amount == 50
    row = by_label(equal)["unlucky"]
    assert (row.status, row.steps) == ("ok", 50)
    assert equal.estimate("plane", row, "kl").n == 6


def test_a_replicate_between_its_last_point_and_its_failure_has_failed(curve, change):
    curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 1, 5.0), (110, 2.0, 110, 1.0)])
    results = change("plane", "unlucky", "run.json", fail_at(120, 1, 4))  # points: 100, 316
    equal = budgets.at_equal(results, "steps")
    assert equal.estimate("plane", by_label(equal)["unlucky"], "kl").failed == 2


def test_a_timeout_shortens_what_all_are_given(curve, change):
    curve("plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 1, 5.0), (7, 60.0, 7, 1.0)])

    def time_out(record):
        for outcome in record["outcomes"]:
            outcome.update(status="timeout", step=7)

    equal = budgets.at_equal(change("plane", "winner", "run.json", time_out), "steps")
    assert (equal.limits["plane"].amount, equal.limits["plane"].method) == (7, "winner")
    rows = by_label(equal)
    assert rows["winner"].status == "ok"  # it used the whole of that budget
    assert {row.steps for row in rows.values() if not row.control} == {7}


@pytest.mark.parametrize("unit", UNITS)
def test_controls_stand_at_their_end_and_byproducts_are_not_followed(curve, unit):
    results = curve("plane", "truth", [(0, 900.0, 0, 9.0), (1, 901.0, 1, 8.0), (2, 902.0, 2, 7.0)])
    equal = budgets.at_equal(results, unit)
    rows = by_label(equal)
    assert "slow_100 (flow)" not in rows
    assert equal.limits["plane"].method != "truth"
    assert equal.estimate("plane", rows["truth"], "kl").mean == pytest.approx(7.0025)


def test_each_dataset_is_ranked_by_what_its_curves_follow(results):
    equal = budgets.at_equal(results, "steps")
    assert equal.suite.datasets["pixels"].rank_by == "hyvarinen"
    assert "Hyvärinen score [nats] ↓" in frame(tables.dataset_table(equal, "pixels"))
    assert results.suite.datasets["pixels"].rank_by == "auroc"  # which stays as it was


def test_captions_say_what_is_equal(results):
    text = captions.caption(budgets.at_equal(results, "seconds"), "plane")
    assert "equal seconds: 16.0 s, the most that every method reached (unlucky" in text
    assert "Shown at equal" not in captions.caption(results, "plane")
    overall = captions.overall_caption(budgets.at_equal(results, "evaluations"))
    assert "at equal energy evaluations" in overall
    assert "plane at 1 k energy evaluations" in overall


def test_densities_of_noises_are_told_at_equal_evaluations(change):
    def count(record):
        record["cost"]["noise_evaluations"] = 600_000

    results = change("plane", "slow_100", "run.json", count)
    equal = budgets.at_equal(results, "evaluations")
    # All reach 1,000 energy evaluations; there, half the steps are half the passes.
    steps = by_label(equal)["slow_100"].steps
    assert equal.runs["plane", "slow_100"].cost.noise_evaluations == 600 * steps
    text = captions.caption(equal, "plane")
    assert f"beside it is, per replicate: slow_100 {600 * steps // 1000} k." in text
    assert "beside it is." in captions.caption(equal, "pixels")
    for other in (results, budgets.at_equal(results, "seconds")):
        assert "Counted are" not in captions.caption(other, "plane")


def test_without_any_run_there_is_no_budget(results):
    empty = type(results)(results.suite, results.folder, {}, results.values.iloc[:0], {})
    equal = budgets.at_equal(empty, "seconds")
    assert equal.limits == {}
    assert {row.status for row in equal.rows("plane")} == {"not run"}
    assert "no common budget" in captions.caption(equal, "plane")


def test_a_value_that_is_not_finite_is_not_masked(curve):
    results = curve(
        "plane", "winner", [(0, 1.0, 0, 9.0), (1, 1.1, 1, 5.0), (1000, 31.0, 9, np.inf)]
    )
    equal = budgets.at_equal(results, "steps")
    found = equal.estimate("plane", by_label(equal)["winner"], "kl")
    assert (found.n, found.not_finite) == (0, 6)
