"""Tables of the page as JSON: by budget, by dataset, and by the metric that ranks."""

import math
from typing import Any

from ebm_bench import registry
from ebm_bench.records import FAILED
from ebm_bench.report import orders, summary
from ebm_bench.report.columns import Difference, Estimate, Number, cell_of
from ebm_bench.report.files import UNITS
from ebm_bench.report.formatting import WORDS, amount, ending, number, quantity
from ebm_bench.report.results import Results
from ebm_bench.report.rows import CONTROL, Row, label
from ebm_bench.report.tables import tables
from ebm_bench.report.tables.captions import left_out, verdict

PAIRS = 125_000  # the page compares each two of fewer rows if there were more in all tables
END = "end"  # of training; the other budgets are `UNITS`
BUDGETS = {END: "End of training", **{unit: f"Equal {WORDS[unit]}" for unit in UNITS}}


def paired(views: list[Results]) -> int:
    """Count the rows of a dataset, best first, of which the page compares each two."""
    tables_of_pairs = sum(len(v.suite.datasets[n].metrics) for v in views for n in v.suite.datasets)
    rows = tables.PAIRED
    while rows > 2 and tables_of_pairs * rows * (rows - 1) / 2 > PAIRS:
        rows -= 1
    return rows


def lay_out(views: list[Results]) -> tuple[dict[str, dict], dict[str, dict[str, str]]]:
    """Lay out all tables of a suite.

    Parameters
    ----------
    views : list of Results
        As `budgets.at_all` gives them.

    Returns
    -------
    found : dict of str to dict
        For each of `BUDGETS`: ``datasets``, with the ``rows`` of each and what each metric
        that can rank makes of them (``by``), and ``overall``, by metric, where an empty name
        stands for the criterion of each dataset.
    texts : dict of str to dict
        Each table as a file, by ``budget/dataset/metric`` and ending; over all datasets the
        second part is empty.
    """
    found, texts = {}, {}
    turned, compared = orders.reversals(views), paired(views)
    for view in views:
        budget = view.unit or END
        found[budget] = {
            "datasets": {name: _dataset(view, name, turned) for name in view.suite.datasets},
            "overall": {},
        }
        for metric in ["", *ranking_metrics(view)]:
            ranked = view.ranked_by(metric) if metric else view
            for name in ranked.suite.datasets if metric else ():
                found[budget]["datasets"][name]["by"][metric] = _ranking(ranked, name, compared)
                texts[f"{budget}/{name}/{metric}"] = tables.dataset_texts(ranked, name)
            found[budget]["overall"][metric] = _overall(ranked)
            if not metric:
                found[budget]["overall"][metric]["answers"] += summary.of_budgets(turned)
            texts[f"{budget}//{metric}"] = tables.overall_texts(ranked)
    return found, texts


def ranking_metrics(results: Results) -> list[str]:
    """List the metrics of a suite that can rank, since better values are defined."""
    measured = dict.fromkeys(m for spec in results.suite.datasets.values() for m in spec.metrics)
    return [metric for metric in measured if quantity(metric).higher_is_better is not None]


def family_of(results: Results, method: str) -> str:
    """Give the family of a method: that of its objective, or `CONTROL`."""
    spec = results.suite.methods[method]
    return CONTROL if spec.control else registry.describe("objectives", spec.objective).kind


def state(row: Row) -> str:
    """Classify a row by how it ended.

    Parameters
    ----------
    row : Row
        A model on a dataset.

    Returns
    -------
    str
        ``failed`` in some replicate; else ``missing`` if not measured, ``early`` if some
        replicate ran out of time, which is measured as it is, and ``ok`` otherwise.
    """
    if any(outcome.status in FAILED for outcome in row.outcomes):
        return "failed"
    if not row.outcomes or row.status != ending(row.outcomes):
        return "missing"
    return "ok" if row.status == "ok" else "early"


def finite(x: float | None) -> float | None:
    """Keep a finite number, to more digits than are shown; JSON has no other."""
    return None if x is None or not math.isfinite(x) else float(f"{x:.6g}")


def _dataset(view: Results, dataset: str, turned: list[orders.Reversal]) -> dict[str, Any]:
    """Lay out what of a dataset's rows does not depend on the metric that ranks."""
    own = [reversal for reversal in turned if reversal.dataset == dataset]
    limit = view.limits.get(dataset)
    metrics = [*tables.by_criterion(view, dataset), *view.parts(dataset)]
    return {
        "criterion": view.suite.datasets[dataset].rank_by,
        "limit": f"at {amount(limit.amount, view.unit)}, the most that every method reached "
        f"({limit.method} ended there)" if limit else "",
        "metrics": metrics,
        "budgets": summary.of_budgets(own),
        "rows": {
            row.label: {
                "method": row.method,
                "status": row.status,
                "state": state(row),
                "steps": row.steps,
                "seconds": finite(row.seconds),
                "evaluations": row.run.cost.energy_evaluations if row.run else None,
                "spent": [str(cell_of(column.value(row))) for column in tables.cost_columns()],
                "cells": {m: _estimate(view.estimate(dataset, row, m)) for m in metrics},
            }
            for row in view.rows(dataset)
        },
        "by": {},
    }  # fmt: skip


def _cell(value: Any, **numbers: Any) -> dict[str, Any]:
    """Lay out a value of a table: its text, what stands beneath it, and numbers."""
    cell = cell_of(value)
    below = f"{cell.interval}{cell.after}".removeprefix(", ")
    found = {"text": cell.main, "below": below, "note": cell.note, **numbers}
    return {key: x for key, x in found.items() if x not in ("", None)}


def _estimate(found: Estimate) -> dict[str, Any]:
    error = found.standard_error
    return _cell(
        found,
        title="" if math.isnan(error) else
        f"standard error of one replicate's value: {number(error)}",
        mean=finite(found.mean),
        low=finite(found.low),
        high=finite(found.high),
        n=found.n if found.replicates else None,
        failed=found.failed if found.replicates else None,
    )  # fmt: skip


def _ranking(view: Results, dataset: str, compared: int) -> dict[str, Any]:
    """Lay out how the metric of a view ranks a dataset, and how the models of each pair differ."""
    rows = view.rows(dataset)
    best = [row for row in rows if row.best]
    criterion = view.suite.datasets[dataset].rank_by
    found = [view.estimate(dataset, row, criterion) for row in best]
    doubtful = bool(found) and found[0].converged < 1  # an error may be what makes it the first
    pairs = tables.pairs_table(view, dataset, compared)  # all pairs of many would fill the page
    return {
        "rows": [
            {
                "label": row.label,
                "place": str(row.place),
                "rank": finite(row.mean_rank),
                "mean_rank": str(cell_of(Number(row.mean_rank, 2))),
                "best": row.best,
                "status": row.remarks,
                "trend": _cell(row.trend, mean=finite(row.trend.mean)),
                "difference": _difference(view, dataset, row),
            }
            for row in rows
        ],
        # Of all pairs, the one ranked better first.
        "pairs": [
            [*map(str, values), bool(pair["better"])]
            for (*values, _), pair in zip(pairs.values(), pairs.rows, strict=True)
        ],
        "best": [row.label for row in best],
        "answers": summary.of_dataset(view, dataset),
        "factor": quantity(criterion).scale == "log",
        "won": len(best) == 1 and found[0].n == found[0].replicates > 1 and not doubtful,
        "doubtful": doubtful,
    }


def _difference(view: Results, dataset: str, row: Row) -> dict[str, Any]:
    found = tables.difference(view, dataset, row)
    none = 1.0 if quantity(view.suite.datasets[dataset].rank_by).scale == "log" else 0.0
    mean = found.mean if isinstance(found, Difference) else none if row.reference else None
    return _cell(found, mean=finite(mean))


def _overall(view: Results) -> dict[str, Any]:
    """Lay out the average ranks, and which methods differ over all datasets."""
    names = list(view.suite.datasets)
    places = {name: {(r.method, r.model): r for r in view.rows(name)} for name in names}
    found = view.rank_tests if len(names) > 1 else None
    rows = []
    for ranked in view.overall.to_dict("records"):
        key = (ranked["method"], ranked["model"])
        on = {name: row for name in names if (row := places[name].get(key)) and row.rank}
        rows.append(
            {
                "label": label(*key),
                "average": finite(ranked["average_rank"]),
                "text": number(ranked["average_rank"], 2),
                "datasets": ranked["datasets"],
                "places": {
                    name: {"text": str(row.place), "rank": finite(row.mean_rank), "best": row.best}
                    for name, row in on.items()
                },
            }
        )
    shaded = found.alike() if found is not None and found.decides else []
    first = rows[0]["label"] if rows else ""
    return {
        "won": found is not None
        and not found.left_out
        and [label(*key) for key in shaded] == [first],
        "datasets": names,
        "counted": view.counted,
        "left_out": left_out(view),
        "answers": summary.of_suite(view),
        "rows": rows,
        "alike": [label(*key) for key in shaded],
        "verdict": verdict(found) if found else "",
    }
