"""What the first screen of the page answers."""

import pandas as pd
import pytest
from factories.report import late

from ebm_bench.report import budgets, orders, summary
from ebm_bench.report.page import views
from ebm_bench.report.statistics.friedman import RankTests


def answer(answers, question):
    return next(text for asked, text in answers if question in asked)


def test_a_dataset_answers_by_how_much_and_how_sure(results):
    answers = summary.of_dataset(results, "plane")
    first, second, *_ = (row.label for row in results.rows("plane"))
    much = answer(answers, "how much")
    assert much.startswith(f"KL of {first}: 0.0")
    assert f"; {second} × " in much
    assert "unlucky × " in much  # the next that is significantly worse
    assert answer(answers, "sure").startswith("6 replicates. Of 6 pairs ")
    assert "too few points" in answer(answers, "training")


def test_what_is_still_moving_is_named(change):
    results = change("plane", "slow_100", "run.json", late)
    told = answer(summary.of_dataset(results, "plane"), "training")
    assert told == "It may: 1 of 1 rows are still moving (slow_100)."
    told = answer(summary.of_suite(results), "training")
    assert told == (
        "It may: 1 of 1 rows are still moving (slow_100 on plane) by KL or Hyvärinen score, "
        "which the learning curves follow."
    )


def test_of_another_metric_it_is_told_by_which_rows_still_move(change):
    results = change("pixels", "slow_100", "run.json", late)  # ranked by another than the curve's
    told = answer(summary.of_dataset(results, "pixels"), "training")
    assert told.endswith(" by Hyvärinen score, which the learning curves follow.")


def test_one_replicate_does_not_tell_whether_a_row_moves(change):
    def leave_one(record):
        late(record)
        for outcome in record["outcomes"][1:]:
            outcome |= {"status": "diverged", "step": 500}

    results = change("plane", "slow_100", "run.json", leave_one)
    told = answer(summary.of_dataset(results, "plane"), "training")
    assert told.startswith("Not known")
    assert "too few replicates" in told


EQUAL = "plane", "equal", "run.json", "evaluation.json", "pictures.npz"


def test_differences_name_whom_they_are_from_if_not_from_the_first(forget, change):
    def fail(record):
        record["outcomes"][0]["status"] = "diverged"

    forget(*EQUAL)
    results = change("plane", "winner", "run.json", fail)
    much = answer(summary.of_dataset(results, "plane"), "how much")
    assert much.startswith("KL of winner: ")
    assert "(5 of 6); against slow_100, the first without failures: unlucky × " in much


def test_that_the_first_did_not_converge_is_told(forget, add_part):
    forget(*EQUAL)
    results = add_part("plane", "winner", "kl", "converged", lambda r: float(r != 0))
    much = answer(summary.of_dataset(results, "plane"), "how much")
    assert much.split(";")[0].endswith("] (not converged)")


@pytest.mark.parametrize(
    ("alike", "told"), [(True, "no difference scatters"), (False, "no pair can be compared")]
)
def test_why_no_difference_can_be_seen_is_told(change, alike, told):
    def edit(record):
        for value in record["values"]:
            lost = value["replicate"] > 0 and not alike
            value["value"] = None if lost else 1.0

    for method in ("winner", "equal", "slow_100", "unlucky"):
        results = change("plane", method, "evaluation.json", edit)
    assert told in answer(summary.of_dataset(results, "plane"), "sure")


def test_a_suite_answers_from_its_overall_ranking(results):
    answers = summary.of_suite(results)
    assert answer(answers, "how much").startswith("Average rank 1.")
    sure = answer(answers, "sure")
    assert "of pairs are significantly different" in sure
    assert "Kendall" in sure


@pytest.mark.parametrize(("p", "told"), [(0.01, True), (0.2, False)])
def test_a_distance_of_ranks_is_significant_only_where_methods_differ(results, p, told):
    ranks = pd.Series([1.0, 2.0, 3.0], pd.MultiIndex.from_product([["a", "b", "c"], ["energy"]]))
    pairs = pd.DataFrame(1.0, ranks.index, ranks.index)
    found = RankTests(ranks, 9, 9.0, p, 1.5, pairs, [])
    results.__dict__["rank_tests"] = found
    much = answer(summary.of_suite(results), "how much")
    assert ("; 1.50 apart would be significant." in much) == told


def test_nothing_is_answered_where_nothing_is_ranked(suite, tmp_path):
    from ebm_bench.records import collection
    from ebm_bench.report import loading

    collection.collect([]).write(tmp_path / "records")
    empty = loading.load(suite, tmp_path)
    assert summary.of_dataset(empty, "plane") == summary.of_suite(empty) == []


def reverse(record):
    """Let the curve of a method end far below all others."""
    for point in record["curve"]:
        point["value"] = 1e-4 if point["step"] == 1000 else 5.0


def test_orders_that_depend_on_the_budget(change):
    results = change("plane", "slow_100", "run.json", reverse)
    found = orders.reversals(budgets.at_all(results))
    pairs = {frozenset((r.first, r.second)) for r in found}
    assert frozenset(("slow_100", "winner")) in pairs
    assert {r.dataset for r in found} == {"plane"}
    told = next(str(r) for r in found if "winner" in (r.first, r.second))
    assert "at equal steps" in told
    assert "at the end of training" in told  # its evaluation says otherwise
    shown = views.lay_out(budgets.at_all(results))[0]["end"]["datasets"]["plane"]["budgets"]
    assert "beats" in answer(shown, "budget")


def test_orders_that_do_not(results):
    assert orders.reversals(budgets.at_all(results)) == []
    assert answer(summary.of_budgets([]), "budget").startswith("No")


@pytest.mark.parametrize(("number", "ends"), [(3, "."), (5, "2 more.")])
def test_long_lists_are_cut(number, ends):
    found = [orders.Reversal("d", f"a{i}", "b", ("x",), ("y",)) for i in range(number)]
    assert answer(summary.of_budgets(found), "budget").endswith(ends)
