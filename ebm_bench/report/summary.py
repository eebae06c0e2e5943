"""Answers for the first screen of the page: by how much, how sure, and what would change it."""

import numpy as np

from ebm_bench.report.columns import Interval
from ebm_bench.report.formatting import few, number, quantity
from ebm_bench.report.orders import Reversal
from ebm_bench.report.results import Results
from ebm_bench.report.rows import Row, label
from ebm_bench.report.statistics.intervals import ALPHA, ROW
from ebm_bench.report.tables.captions import certainty, power

SHOWN = 3  # names or pairs in a sentence; the others are counted

Answers = list[tuple[str, str]]  # questions with their answers


def of_dataset(view: Results, dataset: str) -> Answers:
    """Answer of a dataset by how much its first is better, how sure that is, and what would change.

    Parameters
    ----------
    view : Results
        Results, ranked by the metric that is shown.
    dataset : str
        One of its datasets.
    """
    ranked = [row for row in view.rows(dataset) if row.rank is not None]
    if not ranked:
        return []
    answers = [
        ("By how much?", _margin(view, dataset, ranked)),
        ("How sure?", f"{_replicates(view, dataset)} {power(view, dataset)}".strip()),
    ]
    if not view.unit:
        answers.append(("Would more training change it?", _training(view, [dataset])))
    return answers


def of_suite(view: Results) -> Answers:
    """Answer the same over all datasets of a suite."""
    overall = view.overall
    if overall.empty or not view.counted:
        return []
    answers = []
    if len(overall) > 1:
        first, second = overall.iloc[0], overall.iloc[1]
        margin = (
            f"Average rank {number(first['average_rank'], 2)}, the next, "
            f"{label(*second[ROW])}, {number(second['average_rank'], 2)}"
        )
        tests = view.rank_tests
        critical = ""
        if tests and tests.decides and tests.p < ALPHA:  # else no distance would be
            critical = f"; {tests.critical_difference:.2f} apart would be significant"
        answers.append(("By how much?", f"{margin}{critical}."))
    decided = [
        pairs["better"].mean() for name in view.counted if len(pairs := view.comparisons[name])
    ]
    sure = [certainty(view.rank_tests, tuple(overall.loc[0, ROW]))]
    if decided:
        sure.append(
            f"On the median dataset {np.median(decided):.0%} of pairs are significantly different."
        )
    if not view.unit and view.stability:
        sure.append(str(view.stability))
    answers.append(("How sure?", " ".join(sure)))
    if not view.unit:
        names = list(view.suite.datasets)
        answers.append(("Would more training change it?", _training(view, names)))
    return answers


def of_budgets(found: list[Reversal]) -> Answers:
    """State which orders depend on the budget; what holds of all datasets names each."""
    several = len({reversal.dataset for reversal in found}) > 1
    listed = [f"{r.dataset}: {r}" if several else str(r) for r in found]
    stated = few(listed, SHOWN, "; ")
    text = f"{stated}." if listed else "No: no two methods change places significantly."
    return [("Does it depend on the budget?", text)]


def _margin(view: Results, dataset: str, ranked: list[Row]) -> str:
    """State the value of the first, and how the next best and the next worse one differ."""
    metric = view.suite.datasets[dataset].rank_by
    about, first = quantity(metric), ranked[0]
    worse = next((row for row in ranked[1:] if not row.best), None)
    differences = []
    for row in dict.fromkeys(filter(None, (ranked[1] if ranked[1:] else None, worse))):
        found = view.difference(dataset, row)
        if found is not None and np.isfinite(found.mean):
            before = "× " if found.factor else "differs by "
            differences.append(f"{row.label} {Interval(found.mean, found.low, found.high, before)}")
    # The first is no reference where one of its replicates failed.
    reference = next((row.label for row in ranked[1:] if row.reference), "")
    if reference and differences:
        differences[0] = f"against {reference}, the first without failures: {differences[0]}"
    value = f"{about.label} of {first.label}: {view.estimate(dataset, first, metric)}"
    return f"{'; '.join([value, *differences])}."


def _replicates(view: Results, dataset: str) -> str:
    n = view.suite.datasets[dataset].replicates
    return f"{n} replicate{'s' if n > 1 else ''}."


def _training(view: Results, datasets: list[str]) -> str:
    """State which ranked rows still moved over the last quarter of training."""
    known = [
        (row.label if len(datasets) == 1 else f"{row.label} on {name}", row.trend.moving)
        for name in datasets
        for row in view.rows(name)
        if row.rank is not None and np.isfinite(row.trend.low)
    ]
    if not known:
        return "Not known: learning curves have too few points near the end, or too few replicates."
    moving = [name for name, moves in known if moves]
    specs = [view.suite.datasets[name] for name in datasets]
    followed = dict.fromkeys(quantity(spec.curve).label for spec in specs)
    others = any(spec.curve != spec.rank_by for spec in specs)
    by = f" by {' or '.join(followed)}, which the learning curves follow" if others else ""
    total = len(known)
    if not moving:
        return f"Hardly: none of {total} rows moved by more than half its interval at the end{by}."
    return f"It may: {len(moving)} of {total} rows are still moving ({few(moving, SHOWN)}){by}."
