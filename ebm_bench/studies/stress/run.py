"""Train and evaluate the panels of stress tests."""

import logging
from pathlib import Path

import pandas as pd

from ebm_bench.records import collection
from ebm_bench.records.collection import Tables
from ebm_bench.runs.tasks import RunTask
from ebm_bench.studies.stress.suite import VALUES, Stress
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")


def run(stress: Stress, panel: str, out: str | Path, device: str = "cpu") -> Path:
    """Train and evaluate every method of a panel at every value of its knob.

    Finished runs are not repeated, unless their settings or the code that they depend on have
    changed.

    Parameters
    ----------
    stress : Stress
        Stress tests with the panel.
    panel : str
        Name of the panel.
    out : path
        Folder of all panels. The runs of this one go to ``out/panel/value/dataset/method``.
    device : str
        Name of the device, as for `devices.acquire`.

    Returns
    -------
    Path
        The table of all values of the panel, ``out/panel/values.parquet``: that of
        `collection.collect` with the columns ``panel``, ``knob`` and ``settings``, the digest of
        those of the panel.
    """
    tables = []
    for value, point in stress.expand(panel).items():
        log.info("%s at %s", panel, value)
        collected = run_point(point, Path(out, panel, str(value)), device)
        about = {"panel": panel, "knob": float(value), "settings": stress.settings(panel)}
        tables.append(collected.values.assign(**about))
    path = Path(out, panel, VALUES)
    with replacing(path) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary)
    return path


def run_point(point: Suite, runs: Path, device: str) -> Tables:
    """Train and evaluate all methods of a suite, as far as that is not done, and collect them."""
    for dataset, method in point.runs():
        RunTask(point, dataset, method, runs, device=device)()
    folders = [runs / dataset / method for dataset, method in point.runs()]
    return collection.collect(folders, suite=point)
