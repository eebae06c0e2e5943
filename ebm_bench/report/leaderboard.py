"""The leaderboard: one page that needs nothing beside itself."""

import base64
import json
import shlex
from pathlib import Path

import jinja2

from ebm_bench import registry
from ebm_bench.records import replacing
from ebm_bench.report import statistics
from ebm_bench.report.captions import MARKS, ORDER
from ebm_bench.report.cells import (
    COST,
    Cell,
    Column,
    cost_cells,
    metric_cell,
    metric_column,
    place_cell,
    table_of,
)
from ebm_bench.report.files import figure_kinds, figure_path
from ebm_bench.report.results import Results, Row, label
from ebm_bench.report.tables import by_criterion
from ebm_bench.report.wording import MISSING, count, explanation, number, plain, quantity

_CAPTIONS = {
    "densities": "Densities of one replicate, controls first, on one colour scale.",
    "samples": "Samples of one replicate, drawn as told above, beside data.",
    "cost": "Quality against cost. Bars are the intervals of the table; no model on the Pareto "
    "front is beaten by a cheaper one.",
    "curves": "Learning curves against steps and against time. Line: median over replicates; "
    "band: their range; cross: a replicate diverged.",
}


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
        metrics=[(quantity(metric), explanation(metric)) for metric in sorted(measured)],
        cautions=[
            *sorted({statistics.caution(s.replicates) for s in suite.datasets.values()} - {""}),
            statistics.COMPARISONS,
        ],
        interval=statistics.INTERVAL,
        marks=MARKS,
        order=ORDER,
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
            cells.append(place_cell(row) if row else Cell(MISSING))
        rows.append(
            {"label": label(*key), "method": key[0], "best": False, "note": "", "cells": cells}
        )
    criteria = [(name, quantity(spec.rank_by)) for name, spec in results.suite.datasets.items()]
    columns = [
        Column("Average rank"),
        Column("Datasets", first="descending"),
        *(Column(name, f"by {by.label}", by.arrow, by.meaning) for name, by in criteria),
    ]
    return {"columns": columns, "rows": rows, "controls": []}


def _dataset(results: Results, dataset: str, folder: Path) -> dict:
    """Lay out the section of a dataset."""
    suite, spec = results.suite, results.suite.datasets[dataset]
    metrics, rows = by_criterion(results, dataset), results.rows(dataset)
    parts = results.parts(dataset)
    best = [row for row in rows if row.best]
    named = ", ".join(row.label for row in best)
    failed = [row.label for row in rows if row.status not in ("ok", "not run", "not evaluated")]
    return {
        "name": dataset,
        "summary": plain(registry.describe("datasets", dataset).summary),
        "spec": spec,
        "criterion": quantity(spec.rank_by),
        "best": named,
        "won": len(best) == 1 and _whole(results, dataset, best[0]),
        "sampling": _sampling(results, dataset),
        "failed": failed,
        "table": table_of(
            [Column("Rank"), *map(metric_column, metrics), *COST],
            rows,
            lambda row: [
                Cell("") if row.control else place_cell(row),
                *(metric_cell(results, dataset, row, metric) for metric in metrics),
                *cost_cells(results, dataset, row),
            ],
        ),
        "parts": parts and table_of(
            [metric_column(part) for part in parts],
            rows,
            lambda row: [metric_cell(results, dataset, row, part) for part in parts],
        ),
        "figures": [
            {
                "caption": _CAPTIONS[kind],
                "source": _embed(figure_path(folder, dataset, kind, "png")),
                "alt": f"{dataset}, {kind}; best: {named or 'none yet'}",
            }
            for kind in figure_kinds(suite, dataset)
        ],
    }  # fmt: skip


def _whole(results: Results, dataset: str, row: Row) -> bool:
    """Whether a model has several replicates and the criterion is finite for all of them."""
    found = results.estimate(dataset, row, results.suite.datasets[dataset].rank_by)
    return found.n == found.replicates > 1


def _sampling(results: Results, dataset: str) -> str:
    """Tell how samples of the models of a dataset are drawn."""
    spec = results.suite.datasets[dataset].sampler
    settings = registry.describe("samplers", spec.name).validate(spec.settings)
    planar = "densities" in figure_kinds(results.suite, dataset)
    way = "on a grid" if planar else f"by {spec.name} ({_plain(settings)})"
    return (
        "Samples are drawn exactly from flows, Gaussians and the truth, and "
        f"{way} from all other energies."
    )


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
    if len(results.machines) > 1:
        united["Timed on"] = {f"{mark}: {name}" for mark, name in results.machines.items()}
    dates = sorted(p.date for p in found)
    told = {name: ", ".join(sorted(values)) for name, values in united.items()}
    told["Trained"] = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else MISSING
    return told


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
