"""Seconds of different machines stand beside each other and are never compared."""

import numpy as np
import pytest

from ebm_bench.report import budgets
from ebm_bench.report.figures.cost import cost
from ebm_bench.report.figures.curves import curves
from ebm_bench.report.page import details, leaderboard
from ebm_bench.report.tables import captions, tables
from ebm_bench.report.tables.formats import frame

HERE, ELSEWHERE = "A processor (cpu, 1 thread)", "Another processor (cpu, 1 thread)"


@pytest.fixture
def mixed(change):
    """Results in which one method was run on another machine, on one of two datasets."""

    def move(record):
        record["provenance"]["machine"] = "Another processor"

    return change("plane", "equal", "run.json", move)


def row_of(results, method, dataset="plane"):
    return next(r for r in results.rows(dataset) if (r.method, r.model) == (method, "energy"))


def test_one_machine_needs_no_mark(results):
    assert str(row_of(results, "equal").training) == "61.0"
    assert row_of(results, "equal").seconds == 61
    assert "machines" not in captions.caption(results, "plane")


def test_threads_and_kinds_of_device_tell_hardware_apart(change):
    for method, made in (
        ("equal", {"threads": 2}),
        ("winner", {"device": "cuda:1"}),
        ("unlucky", {"device": "cuda:0"}),
    ):
        results = change("plane", method, "run.json", lambda r, m=made: r["provenance"].update(m))
    marks = {m: results.machine("plane", m) for m in ("equal", "winner", "unlucky", "truth")}
    assert marks["winner"] == marks["unlucky"]
    assert len(set(marks.values())) == 3


def test_hardware_is_marked_where_a_dataset_has_several(mixed):
    assert mixed.machines == {"M1": HERE, "M2": ELSEWHERE}
    assert str(row_of(mixed, "equal").training) == "61.0 (M2)"
    assert str(row_of(mixed, "winner").training) == "31.0 (M1)"
    assert str(row_of(mixed, "equal", "pixels").training) == "61.0"
    table = frame(tables.dataset_table(mixed, "plane")).set_index("Method")["Training [s]"]
    assert table["equal"] == "61.0 (M2)"
    exact = tables.dataset_numbers(mixed, "plane").set_index(["method", "model"])["hardware"]
    assert exact["equal", "energy"] == ELSEWHERE
    assert exact["winner", "energy"] == HERE
    assert "61.0 (M2)" in tables.dataset_texts(mixed, "plane")["tex"]
    told = captions.paper_caption(mixed, "plane")
    assert "only those of M1 are shown" in told
    told = captions.caption(mixed, "plane")
    assert f"M2: {ELSEWHERE}" in told
    assert "only those of M1 are shown" in told
    assert "machines" not in captions.caption(mixed, "pixels")


def test_quality_ranks_all_machines_together(results, mixed):
    ranks = [{r.label: r.rank for r in found.rows("plane")} for found in (results, mixed)]
    assert ranks[0] == ranks[1]


def test_equal_seconds_are_those_of_one_machine(mixed):
    equal = budgets.at_equal(mixed, "seconds")
    row = row_of(equal, "equal")
    assert row.rank is None
    assert row.status == "timed on M2, not to be compared"
    assert row_of(equal, "winner").rank is not None
    assert row_of(equal, "equal", "pixels").rank is not None


def test_a_machine_apart_has_no_say_in_the_equal_seconds(change):
    def move(record):
        record["provenance"]["machine"] = "Another processor"

    before = budgets.at_equal(change("plane", "unlucky", "run.json", lambda r: None), "seconds")
    assert before.limits["plane"].method == "unlucky"  # which ends first
    after = budgets.at_equal(change("plane", "unlucky", "run.json", move), "seconds")
    assert after.limits["plane"].method == "winner"


@pytest.mark.parametrize("unit", ["steps", "evaluations"])
def test_steps_and_evaluations_compare_between_machines(mixed, unit):
    assert row_of(budgets.at_equal(mixed, unit), "equal").rank is not None


def test_figures_against_time_show_one_machine(mixed):
    assert np.isnan(row_of(mixed, "equal").seconds)
    axis = cost(mixed, "plane").axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "equal, timed on M2" in labels
    drawn = {line.get_label(): line.get_xdata() for line in axis.lines}
    assert list(drawn["winner"]) == [31.0]
    assert len(drawn["equal, timed on M2"]) == 0
    against_steps, against_seconds = curves(mixed, "plane").axes
    named = [{line.get_label() for line in axis.lines} for axis in (against_steps, against_seconds)]
    assert "equal" in named[0] - named[1]
    assert "winner" in named[0] & named[1]


def test_the_pareto_front_is_of_one_machine(change):
    def move(record):
        record["provenance"]["machine"] = "Another processor"

    def front(results):
        lines = cost(results, "plane").axes[0].lines
        return next(list(x.get_xdata()) for x in lines if x.get_label() == "Pareto front")

    whole = front(change("plane", "winner", "run.json", lambda r: None))
    assert 31.0 in whole
    assert 31.0 not in front(change("plane", "winner", "run.json", move))


def test_most_competing_runs_decide_and_not_controls(change):
    def move(record):
        record["provenance"]["machine"] = "Another processor"

    for method in ("truth", "gaussian_fit", "equal"):
        results = change("plane", method, "run.json", move)
    assert results.timed_on("plane") == results.machine("plane", "winner")
    assert row_of(results, "equal").apart


def test_what_was_not_run_is_not_apart(mixed, forget):
    results = forget("plane", "winner", "run.json", "evaluation.json", "pictures.npz")
    row = row_of(results, "winner")
    assert (row.machine, row.apart, str(row.training)) == ("", False, "–")


def test_a_run_that_was_resumed_elsewhere_is_compared_with_none(change):
    def resume(record):
        record["steps"], record["unsaved"] = "compiled", ["Mine.n"]
        record["segments"] = [
            {"steps": 400, "compiled": 0, "seconds": s, "hardware": at, "commit": "c"}
            for s, at in ((20.0, HERE), (41.0, ELSEWHERE))
        ]

    results = change("plane", "equal", "run.json", resume)
    assert results.machines == {"M1": HERE, "M2": f"{HERE}, then {ELSEWHERE}"}
    assert row_of(results, "equal").apart
    assert not row_of(results, "winner").apart
    told = details.methods(results, "suite.yaml")["equal"]["places"]["plane"]["provenance"]
    assert told[-3:] == [
        ["Steps", "compiled"],
        ["Remark", "steps changed state that no checkpoint holds: Mine.n"],
        ["Remark", "resumed after a change of machine or commit: 400 steps in 20 s on "
         f"{HERE}, commit c; 400 steps in 41 s on {ELSEWHERE}, commit c"],
    ]  # fmt: skip


def test_the_page_lists_the_machines(results, mixed):
    assert "Timed on" not in leaderboard._provenance(results)
    assert f"M2: {ELSEWHERE}" in leaderboard._provenance(mixed)["Timed on"]
