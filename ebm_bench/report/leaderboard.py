"""The leaderboard: one page that needs nothing beside itself."""

import base64
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path

import jinja2

from ebm_bench import registry
from ebm_bench.records import replacing
from ebm_bench.report import statistics
from ebm_bench.report.files import figure_kinds, figure_path
from ebm_bench.report.results import Results, Row, label
from ebm_bench.report.tables import by_criterion, cell
from ebm_bench.report.wording import MISSING, count, number, plain, quantity

_CAPTIONS = {
    "densities": "Densities of one replicate, controls first, on one colour scale.",
    "samples": "Samples of one replicate, drawn by the same sampler from every model, beside data.",
    "cost": "Quality against cost. Bars are the intervals of the table; no model on the Pareto "
    "front is beaten by a cheaper one.",
    "curves": "Learning curves against steps and against time. Line: median over replicates; "
    "band: their range; cross: a replicate diverged.",
}


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
    """A text, what stands beneath it, what it sorts by, and whether it is among the best."""

    text: str
    below: str = ""
    value: float | str = ""
    best: bool = False


def write(results: Results, suite_path: str | Path, folder: Path) -> Path:
    """Write the page of a suite whose figures have been drawn.

    Parameters
    ----------
    results : Results
        What is shown.
    suite_path : path
        Of the suite's file, for the commands that reproduce a run.
    folder : Path
        Of the suite's results.

    Returns
    -------
    Path
        Of the page.
    """
    path = folder / "leaderboard.html"
    with replacing(path) as temporary:
        temporary.write_text(page(results, suite_path, folder))
    return path


def page(results: Results, suite_path: str | Path, folder: Path) -> str:
    """Render the page as HTML; see `write`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    suite = results.suite
    measured = {m for spec in suite.datasets.values() for m in spec.metrics}
    return environment.get_template("leaderboard.html.j2").render(
        suite=suite,
        overall=_overall(results),
        metrics=[quantity(metric) for metric in sorted(measured)],
        cautions=sorted({statistics.caution(s.replicates) for s in suite.datasets.values()} - {""}),
        interval=statistics.INTERVAL,
        datasets=[_dataset(results, name, folder) for name in suite.datasets],
        methods=[_method(results, name, suite_path) for name in suite.methods],
        provenance=_provenance(results),
        total=sum(len(suite.methods_of(name)) for name in suite.datasets),
        present=len(results.runs),
        missing=results.missing(),
    )


def _overall(results: Results) -> dict:
    """Lay out the overall table."""
    names = list(results.suite.datasets)
    places = {name: {(r.method, r.model): r for r in results.rows(name)} for name in names}
    rows = []
    for found in statistics.overall(results.rankings).to_dict("records"):
        key = (found["method"], found["model"])
        cells = [
            Cell(number(found["average_rank"], 2), value=found["average_rank"]),
            Cell(f"{found['datasets']} of {len(names)}", value=found["datasets"]),
        ]
        for name in names:
            row = places[name].get(key)
            cells.append(_place(row) if row else Cell(MISSING))
        rows.append(
            {"label": label(*key), "method": key[0], "best": False, "note": "", "cells": cells}
        )
    columns = [Column("Average rank"), Column("Datasets", first="descending"), *map(Column, names)]
    return {"columns": columns, "rows": rows, "controls": []}


def _dataset(results: Results, dataset: str, folder: Path) -> dict:
    """Lay out the section of a dataset."""
    suite, spec = results.suite, results.suite.datasets[dataset]
    metrics, rows = by_criterion(results, dataset), results.rows(dataset)
    parts = results.parts(dataset)
    best = [row.label for row in rows if row.best]
    failed = [row.label for row in rows if row.status not in ("ok", "not run", "not evaluated")]
    return {
        "name": dataset,
        "summary": plain(registry.describe("datasets", dataset).summary),
        "spec": spec,
        "criterion": quantity(spec.rank_by),
        "best": best,
        "failed": failed,
        "table": _table(
            [Column("Rank"), *map(_metric_column, metrics), *_COST],
            rows,
            lambda row: [
                Cell("") if row.control else _place(row),
                *(_metric_cell(results, dataset, row, metric) for metric in metrics),
                *_cost_cells(results, dataset, row),
            ],
        ),
        "parts": parts and _table(
            [_metric_column(part) for part in parts],
            rows,
            lambda row: [_metric_cell(results, dataset, row, part) for part in parts],
        ),
        "figures": [
            {
                "caption": _CAPTIONS[kind],
                "source": _embed(figure_path(folder, dataset, kind, "png")),
                "alt": f"{dataset}, {kind}; best: {', '.join(best) or 'none yet'}",
            }
            for kind in figure_kinds(suite, dataset)
        ],
    }  # fmt: skip


_COST = [
    Column("n", title="replicates with a finite value of the ranking metric", first="descending"),
    Column("Failed", title="replicates that diverged or ran out of memory"),
    Column("Training", "s", title="setting up and training all replicates together"),
    Column("Energy evaluations", title="points at which the energy or its gradient was computed, "
           "per replicate"),
]  # fmt: skip


def _table(columns: list[Column], rows: list[Row], cells) -> dict:
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


def _metric_column(metric: str) -> Column:
    told = quantity(metric)
    first = "descending" if told.higher_is_better else "ascending"
    return Column(told.label, told.unit, told.arrow, told.meaning, first)


def _metric_cell(results: Results, dataset: str, row: Row, metric: str) -> Cell:
    text, bracket, rest = cell(results, dataset, row, metric).partition(" [")
    below = bracket.strip() + rest
    mean = results.estimate(dataset, row, metric).mean
    return Cell(text, below, "" if math.isnan(mean) else mean)


def _cost_cells(results: Results, dataset: str, row: Row) -> list[Cell]:
    main = results.estimate(dataset, row, results.suite.datasets[dataset].rank_by)
    counts = [Cell(MISSING)] * 2
    if main.replicates:
        counts = [Cell(str(x), value=x) for x in (main.n, main.failed)]
    costs = [Cell(MISSING)] * 2
    if row.run:
        evaluations = row.run.cost.energy_evaluations
        costs = [
            Cell(number(row.seconds), value=row.seconds),
            Cell(count(evaluations), value=evaluations),
        ]
    return [*counts, *costs]


def _place(row: Row) -> Cell:
    return Cell(row.place, value=row.mean_rank if row.rank else "", best=row.best)


def _method(results: Results, name: str, suite_path: str | Path) -> dict:
    """Tell the settings of a method, and the commands that run it again."""
    suite = results.suite
    spec = suite.methods[name]
    entry = registry.describe("objectives", spec.objective)
    where = []
    for dataset in suite.datasets_of(name):
        energy = suite.energy_of(dataset, name)
        run = results.runs.get((dataset, name))
        common = f"--suite {shlex.quote(str(suite_path))} --dataset {dataset} --method {name}"
        cost = run.cost if run else None
        where.append(
            {
                "dataset": dataset,
                "energy": f"{energy.name} {_plain(energy.settings)}".strip(),
                "overrides": _plain(spec.overrides.get(dataset, {})),
                "cost": f"{cost.parameters} parameters, {count(int(cost.flops_per_step))} "
                f"floating-point operations a step, {cost.peak_memory_bytes / 2**20:.0f} MiB at "
                f"most, {number(cost.setup_seconds)} s to set up" if cost else "not run",
                "command": f"ebm-bench train {common} --out my-runs\n"
                f"ebm-bench evaluate {common} --out my-runs",
            }
        )  # fmt: skip
    return {
        "name": name,
        "control": spec.control,
        "objective": spec.objective,
        "summary": plain(entry.summary),
        "settings": entry.validate(spec.settings),
        "where": where,
    }


def _plain(settings: dict) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())


def _provenance(results: Results) -> dict[str, str]:
    """Unite where the runs come from; usually each field has one value."""
    found = [run.provenance for run in results.runs.values()]
    united = {
        "Version": {p.version for p in found},
        "Commit": {p.commit + (" with local changes" if p.dirty else "") for p in found},
        "Pinned versions": {p.lock for p in found},
        "Python": {p.python for p in found},
        "torch": {p.torch for p in found},
        "Device": {p.device for p in found},
        "Machine": {p.machine for p in found},
        "Threads": {str(p.threads) for p in found},
    }
    dates = sorted(p.date for p in found)
    told = {name: ", ".join(sorted(values)) for name, values in united.items()}
    told["Trained"] = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else MISSING
    return told


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
