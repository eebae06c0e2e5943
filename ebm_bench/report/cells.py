"""The tables of the page: heads that sort, and cells with what is to be known of a number."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ebm_bench.report.results import Results, Row
from ebm_bench.report.tables import notes, value
from ebm_bench.report.wording import MISSING, count, number, quantity


@dataclass(frozen=True)
class Column:
    """A head that can be clicked: what it says, and which way it sorts first."""

    name: str
    unit: str = ""
    arrow: str = ""
    title: str = ""
    first: str = "ascending"


@dataclass(frozen=True)
class Cell:
    """A text, what stands beneath it, and what it sorts by.

    Attributes
    ----------
    note, title : str
        What to beware of, and what only a pointer that rests on the cell shows.
    best : bool
        Whether it is among the best.
    """

    text: str
    below: str = ""
    value: float | str = ""
    note: str = ""
    title: str = ""
    best: bool = False


COST = [
    Column("n", title="replicates with a finite value of the ranking metric", first="descending"),
    Column("Failed", title="replicates that diverged or ran out of memory"),
    Column("Training", "s", title="setting up and training all replicates together"),
    Column("Energy evaluations", title="points at which the energy or its gradient was computed, "
           "per replicate"),
]  # fmt: skip


def table_of(columns: list[Column], rows: list[Row], cells: Callable) -> dict:
    """Lay out a table of the cells of each row, the controls apart."""
    laid = [
        {
            "label": row.label,
            "method": row.method,
            "best": row.best,
            "note": "" if row.status == "ok" else row.status,
            "cells": cells(row),
        }
        for row in rows
    ]
    return {
        "columns": columns,
        "rows": [r for r, row in zip(laid, rows, strict=True) if not row.control],
        "controls": [r for r, row in zip(laid, rows, strict=True) if row.control],
    }


def metric_column(metric: str) -> Column:
    """Make the head of a metric, which sorts the best to the top first."""
    told = quantity(metric)
    first = "descending" if told.higher_is_better else "ascending"
    return Column(told.label, told.unit, told.arrow, told.meaning, first)


def metric_cell(results: Results, dataset: str, row: Row, metric: str) -> Cell:
    """Make the cell of a metric: mean, interval beneath it, notes, and its own standard error."""
    found = results.estimate(dataset, row, metric)
    text, bracket, rest = value(found, metric).partition(" [")
    error = found.standard_error
    return Cell(
        text,
        bracket.strip() + rest,
        "" if math.isnan(found.mean) else found.mean,
        notes(found),
        "" if math.isnan(error) else f"standard error of one replicate's value: {number(error)}",
    )


def cost_cells(results: Results, dataset: str, row: Row) -> list[Cell]:
    """Make the cells under `COST`."""
    main = results.estimate(dataset, row, results.suite.datasets[dataset].rank_by)
    counts = [Cell(MISSING)] * 2
    if main.replicates:
        counts = [Cell(str(x), value=x) for x in (main.n, main.failed)]
    costs = [Cell(MISSING)] * 2
    if row.run:
        evaluations = row.run.cost.energy_evaluations
        costs = [
            Cell(row.training, value="" if math.isnan(row.seconds) else row.seconds),
            Cell(count(evaluations), value=evaluations),
        ]
    return [*counts, *costs]


def place_cell(row: Row) -> Cell:
    """Make the cell of a rank."""
    return Cell(row.place, value=row.mean_rank if row.rank else "", best=row.best)
