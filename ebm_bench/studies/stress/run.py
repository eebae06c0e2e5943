"""Train and evaluate the panels of stress tests."""

import logging
from pathlib import Path

from ebm_bench.records import fingerprint
from ebm_bench.studies.stress.suite import Stress, run_parts
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")


VALUES = "values.parquet"


def run(stress: Stress, panel: str, out: str | Path, device: str = "cpu") -> Path:
    """Train and evaluate every method of a panel at every value of its knob.

    What is done is not done twice: a run is repeated where its settings, or the code it
    depends on, are not those of the last time.

    Parameters
    ----------
    stress : Stress
        Where the panel is described.
    panel : str
        Its name.
    out : path
        Folder of all panels. The runs of this one go to ``out/panel/value/dataset/method``.
    device : str
        As torch calls it.

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
            _run_method(point, dataset, method, runs, device)
        collected = collection.collect(runs / dataset / method for method in point.methods)
        tables.append(collected.values.assign(panel=panel, knob=float(value)))
    path = Path(out, panel, VALUES)
    with replacing(path) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary)
    return path


def _run_method(point: Suite, dataset: str, method: str, runs: Path, device: str) -> None:
    from ebm_bench.runs import evaluation, training

    folder = runs / dataset / method
    slices = point.training_slice(dataset, method) + point.evaluation_slice(dataset)
    modules = ("runs/training.py", "runs/evaluation.py")
    current = fingerprint.digest(slices, fingerprint.files(run_parts(point, method), *modules))
    stamp = folder / "done.txt"
    if stamp.exists() and stamp.read_text() == current:
        return
    training.train(point, dataset, [method], runs, device)
    evaluation.evaluate(point, dataset, method, folder, device)
    with replacing(stamp) as temporary:
        temporary.write_text(current)
