"""Train and evaluate what a paper compares, or estimate parameters, and collect the values."""

import logging
from pathlib import Path

import pandas as pd

from ebm_bench import records
from ebm_bench.records.collection import MEASURED
from ebm_bench.studies.estimation import jobs
from ebm_bench.studies.estimation.suite import RECORD, TABLE, EstimationSuite
from ebm_bench.studies.papers.suite import SQUARED_ERROR, Paper
from ebm_bench.studies.stress.run import run_point
from ebm_bench.studies.stress.suite import VALUES
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import read_table, replacing

log = logging.getLogger("ebm_bench")

RUNS, RECORDS = "runs", "records"
CODE = ["commit", "dirty"]  # of its provenance


def run(paper: Paper, out: str | Path, device: str = "cpu") -> Path:
    """Run every method of a paper at every value of its knob.

    Finished runs are not repeated, unless their settings or the code that they depend on have
    changed.

    Parameters
    ----------
    paper : Paper
        Paper to reproduce.
    out : path
        Folder of its results: runs go to ``out/runs/dataset/method``, with the value of the knob
        before the dataset if there is one. Without a knob, ``out/records`` holds their records.
    device : str
        Name of the device, as for `devices.acquire`.

    Returns
    -------
    Path
        The table of all values, ``out/values.parquet``: the columns `collection.MEASURED`,
        ``commit`` and ``dirty`` of the code, ``knob``, which is NaN without one, and ``settings``,
        the digest of those of the paper. Estimates have the metric ``squared_error``, and their
        data sets are replicates.
    """
    tables = []
    for value, point in paper.points.items():
        runs = Path(out, RUNS) if value is None else Path(out, RUNS, f"{value:g}")
        if value is not None:
            log.info("%s at %g", paper.name, value)
        found = (
            _estimate(point, runs)
            if isinstance(point, EstimationSuite)
            else _train(point, runs, device, Path(out, RECORDS) if value is None else None)
        )
        described = found.assign(knob=value, settings=paper.settings)
        tables.append(described.astype({"knob": float}))
    path = Path(out, VALUES)
    with replacing(path) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary)
    return path


def _train(point: Suite, runs: Path, device: str, collected: Path | None) -> pd.DataFrame:
    """Train and evaluate the runs of a suite; their records go to a folder if there is one."""
    tables = run_point(point, runs, device)
    if collected:
        tables.write(collected)
    about = tables.runs[["dataset", "method", *CODE]]
    return tables.values[MEASURED].merge(about, on=["dataset", "method"])


def _estimate(point: EstimationSuite, runs: Path) -> pd.DataFrame:
    """Estimate the parameters of the models of a suite."""
    for model in point.models:
        jobs.run(point, model, list(point.methods), runs)
    tables = []
    for folder in (runs / model / method for model, method in point.runs()):
        record: records.Estimation = records.read(records.Estimation, folder / RECORD)
        about = {name: getattr(record.provenance, name) for name in CODE}
        tables.append(read_table(folder / TABLE, "run it again").assign(**about))
    found = pd.concat(tables)
    return found.assign(
        dataset=found["model"],
        model="energy",
        metric=SQUARED_ERROR,
        value=found["error"],
        standard_error=float("nan"),
    )[[*MEASURED, *CODE]]
