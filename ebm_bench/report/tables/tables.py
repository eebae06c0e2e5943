"""Tables of a suite: of each dataset, over all datasets, and of each pair of models."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ebm_bench.report.columns import (
    Column,
    Difference,
    Interval,
    Number,
    Replicates,
    Table,
    Value,
)
from ebm_bench.report.files import macros_path
from ebm_bench.report.formatting import probability, quantity
from ebm_bench.report.results import Results
from ebm_bench.report.rows import Row, label
from ebm_bench.report.tables import formats, macros
from ebm_bench.report.tables.captions import caption, overall_caption, pairs_caption, paper_caption

_ROW = ("method", "model", "control", "rank", "mean_rank", "tied", "reference")
PAIRED = 50  # rows of a dataset, best first, of which texts compare each two
_NOT_FOR_PAPERS = ("rank", "mean_rank", "difference", "failed", "trend", "steps", "edge")


def write(views: list[Results], folder: Path) -> list[Path]:
    """Write all tables of a suite.

    Parameters
    ----------
    views : list of Results
        Views at all budgets, as `budgets.at_all` gives them.
    folder : Path
        Folder of the suite's results.

    Returns
    -------
    list of Path
        Files, in the order of `outputs`.
    """
    results, written = views[0], []
    for view in views:
        for name in view.suite.datasets:
            written += formats.write(dataset_texts(view, name), folder, name + ending(view))
        written += formats.write(overall_texts(view), folder, f"overall{ending(view)}")
    for name in results.suite.datasets:
        # As a file of numbers, all pairs; of thousands no reader makes any use.
        exact = results.comparisons[name]
        table = replace(pairs_table(results, name, PAIRED), exact=exact)
        written += formats.write(formats.texts(table), folder, f"{name}-pairs")
    written.append(formats.save(macros.render(views), macros_path(folder)))
    stable = results.stability
    terminal = formats.plain(overall_table(results)) + (f"\n{stable}\n" if stable else "")
    return [*written, formats.save(terminal, folder / "tables" / "overall.txt")]


def dataset_texts(results: Results, dataset: str) -> dict[str, str]:
    """Write the table of a dataset in all formats, by file ending."""
    if dataset not in results.texts:
        table = dataset_table(results, dataset)
        results.texts[dataset] = formats.texts(table, _for_paper(results, dataset, table))
    return results.texts[dataset]


def dataset_table(results: Results, dataset: str) -> Table:
    """Make the table of a dataset: ranked models first, controls last."""
    metrics = by_criterion(results, dataset)
    main = partial(results.estimate, dataset, metric=metrics[0])
    columns = [
        Column("rank", "Rank", lambda row: row.place),
        Column("method", "Method", lambda row: row.label),
        Column("mean_rank", "Mean rank", lambda row: Number(row.mean_rank, 2)),
        *(_metric_column(results, dataset, metric) for metric in metrics),
        Column("difference", "Difference to the best", partial(difference, results, dataset)),
        Column("n", "n", lambda row: Replicates(main(row).n, main(row).replicates)),
        Column("failed", "Failed", lambda row: main(row).failed if main(row).replicates else None),
        *trend_columns(results, dataset),
        *cost_columns(),
        *_edge_column(results, dataset),
        Column("status", "Status", lambda row: row.remarks),
    ]
    return Table(
        columns,
        results.rows(dataset),
        caption(results, dataset),
        _label(results, dataset),
        dataset_numbers(results, dataset),
    )


def trend_columns(results: Results, dataset: str) -> list[Column]:
    """Make the column of what the last quarter of training changed; none if no row knows."""
    if all(np.isnan(row.trend.mean) for row in results.rows(dataset)):
        return []
    about = quantity(results.suite.datasets[dataset].curve)
    return [Column("trend", f"Last quarter, {about.label}", lambda row: row.trend)]


def cost_columns() -> list[Column]:
    """Make the columns that show what the training of a row took."""
    return [
        Column("steps", "Steps", lambda row: row.steps),
        Column("seconds", "Training [s]", lambda row: row.training),
        Column("evaluations", "Energy evaluations", lambda row: row.evaluations),
    ]


def _edge_column(results: Results, dataset: str) -> list[Column]:
    """Make the column that names what was best at an end of what tuning tried, if there is any."""
    edges = results.suite.edges(dataset)
    return [Column("edge", "At an end", lambda row: edges.get(row.method, ""))] if edges else []


def difference(results: Results, dataset: str, row: Row) -> Value | str | None:
    """Give the difference of a row from the reference, with its corrected p value."""
    return "reference" if row.reference else results.difference(dataset, row)


def _metric_column(results: Results, dataset: str, metric: str) -> Column:
    comparable = quantity(metric).higher_is_better is not None

    def best(row: Row) -> bool:
        if not comparable or results.estimate(dataset, row, metric).converged < 1:
            return False
        return (row.method, row.model) in results.best(dataset, metric)

    value = partial(results.estimate, dataset, metric=metric)
    return Column(metric, quantity(metric).head, value, best)


def _for_paper(results: Results, dataset: str, table: Table) -> Table:
    """Keep the columns for a paper, with a rule above the controls."""
    left_out = list(_NOT_FOR_PAPERS)
    if all(row.remarks == "ok" for row in table.rows):
        left_out.append("status")
    controls = [row.control for row in table.rows]
    return replace(
        table,
        columns=[column for column in table.columns if column.key not in left_out],
        caption=paper_caption(results, dataset),
        apart=controls.index(True) if True in controls[1:] else None,
    )


def dataset_numbers(results: Results, dataset: str) -> pd.DataFrame:
    """List all numbers of a dataset.

    Returns
    -------
    DataFrame
        One row per model, with columns such as ``kl_mean``, ``kl_low``, ``kl_n`` for each metric
        and part of a metric; ``difference_mean`` and the like are differences from the reference
        in the metric that ranks.
    """
    metrics = [*by_criterion(results, dataset), *results.parts(dataset)]
    rows = []
    for row in results.rows(dataset):
        run, found = row.run, results.difference(dataset, row) or Difference()
        rows.append(
            {
                "dataset": dataset,
                **{name: getattr(row, name) for name in _ROW},
                **{f"difference_{name}": x for name, x in vars(found).items()},
                "status": row.status,
                "worse_than_idle_controls": row.worse,
                **{f"last_quarter_{name}": x for name, x in vars(row.trend).items()},
                "replicates": len(row.outcomes),
                "steps": row.steps,
                "train_seconds": run and run.cost.train_seconds,
                "setup_seconds": run and run.cost.setup_seconds,
                "hardware": run and run.hardware,
                "energy_evaluations": run and run.cost.energy_evaluations,
                "noise_evaluations": run and run.cost.noise_evaluations,
                **{
                    f"{metric}_{name}": x
                    for metric in metrics
                    for name, x in results.estimate(dataset, row, metric).numbers().items()
                },
            }
        )
    integers = dict.fromkeys(["rank", "steps", "energy_evaluations", "noise_evaluations"], "Int64")
    return pd.DataFrame(rows).astype(integers)


def overall_texts(results: Results) -> dict[str, str]:
    """Write the table over all datasets in all formats, by file ending."""
    table = overall_table(results)
    stated = f"{overall_caption(results, '')} Bold: the best of a dataset, and what ties with it."
    return formats.texts(table, replace(table, caption=stated))


def overall_table(results: Results) -> Table:
    """Make the table of ranks on all datasets, with their average."""
    names, exact = list(results.suite.datasets), results.overall
    columns = [
        Column("method", "Method", lambda row: label(row["method"], row["model"])),
        Column("rank", "Average rank", lambda row: Number(row["average_rank"], 2)),
        Column("datasets", "Datasets", lambda row: f"{row['datasets']} of {len(results.counted)}"),
        *(_rank_column(results, name) for name in names),
    ]
    return Table(
        columns,
        exact.to_dict("records"),
        overall_caption(results),
        _label(results, "overall"),
        exact.astype(dict.fromkeys(names, "Int64")),
    )


def _rank_column(results: Results, dataset: str) -> Column:
    rows = {(row.method, row.model): row for row in results.rows(dataset)}

    def row_of(ranked: dict[str, Any]) -> Row | None:
        return rows.get((ranked["method"], ranked["model"]))

    return Column(
        dataset,
        dataset,
        lambda ranked: (row := row_of(ranked)) and row.place,
        lambda ranked: (row := row_of(ranked)) is not None and row.best,
    )


def pairs_table(results: Results, dataset: str, most: int | None = None) -> Table:
    """Make the table that compares each pair of models, the one ranked better first.

    Parameters
    ----------
    results, dataset
        What is compared.
    most : int, optional
        Number of rows of the dataset, best first, whose pairs are kept; by default all.
    """
    about = quantity(results.suite.datasets[dataset].rank_by)
    factor = about.scale == "log"
    head = f"Factor, {about.label} {about.arrow}" if factor else f"Difference, {about.head}"
    before = "× " if factor else ""
    columns = [
        Column("method", "Method", lambda pair: label(pair["method"], pair["model"])),
        Column("other", "Other", lambda pair: label(pair["other_method"], pair["other_model"])),
        Column(
            "difference", head, lambda p: Interval(p["difference"], p["low"], p["high"], before)
        ),
        Column("n", "n", lambda pair: pair["n"]),
        Column("p", "p", lambda pair: probability(pair["p"])),
        Column("p_corrected", "p, corrected", lambda pair: probability(pair["p_corrected"])),
        Column("better", "", lambda pair: "better" if pair["better"] else "≈"),
    ]
    exact = results.comparisons[dataset]
    rows = results.rows(dataset)
    if most is not None and len(rows) > most:
        among = {(row.method, row.model) for row in rows[:most]}
        one, other = (
            zip(exact[f"{of}method"], exact[f"{of}model"], strict=True) for of in ("", "other_")
        )
        pairs = zip(one, other, strict=True)
        exact = exact[[first in among and second in among for first, second in pairs]]
    return Table(
        columns,
        exact.to_dict("records"),
        pairs_caption(results, dataset, most),
        _label(results, f"{dataset}-pairs"),
        exact,
        keys=2,
    )


def by_criterion(results: Results, dataset: str) -> list[str]:
    """List the metrics of a dataset, the one that ranks it first."""
    spec = results.suite.datasets[dataset]
    return sorted(spec.metrics, key=lambda metric: metric != spec.rank_by)


def ending(results: Results) -> str:
    """Give the end of the names of tables at an equal budget."""
    return f"-{results.unit}" if results.unit else ""


def _label(results: Results, name: str) -> str:
    return f"tab:{results.suite.name}-{name}{ending(results)}"
