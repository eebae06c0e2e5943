"""Train and evaluate the panels of stress tests."""

import logging
from pathlib import Path

from ebm_bench.runs.tasks import RunTask
from ebm_bench.studies.stress.suite import Stress
from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")


VALUES = "values.parquet"


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
        `collecting.collect` with the columns ``panel`` and ``knob``.
    """
    import pandas as pd

    from ebm_bench.records import collection

    tables = []
    for value, point in stress.expand(panel).items():
        (dataset,) = point.datasets
        runs = Path(out, panel, str(value))
        log.info("%s at %s", panel, value)
        for method in point.methods:
            RunTask(point, dataset, method, runs, device=device)()
        collected = collection.collect(runs / dataset / method for method in point.methods)
        tables.append(collected.values.assign(panel=panel, knob=float(value)))
    path = Path(out, panel, VALUES)
    with replacing(path) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary)
    return path
