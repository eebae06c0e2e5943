"""Loading of collected records, with failed replicates that were not measured filled in."""

from pathlib import Path

import numpy as np
import pandas as pd

from ebm_bench import registry
from ebm_bench.records import FAILED, CurvePoint, collection, definition
from ebm_bench.records.collection import MEASURED
from ebm_bench.registry.entries import LEARNED
from ebm_bench.report import learning_curves
from ebm_bench.report.results import KEYS, Results, escaped, with_escapes
from ebm_bench.suites.suite import Suite

CURVE = ["dataset", "method", *CurvePoint.model_fields]


def load(suite: Suite, folder: Path) -> Results:
    """Read collected records.

    Parameters
    ----------
    suite : Suite
        Suite of the records; those of runs that it no longer has are ignored.
    folder : Path
        Folder of the suite's results, with ``records``.

    Raises
    ------
    InputError
        Where the records have not been collected, or are of runs that the suite does not
        describe: of another version, budget or setting.
    """
    tables = collection.load(folder / "records")
    expected = [(suite.name, *run) for run in suite.runs()]
    records = tables.records()
    runs = {key[1:]: records[key] for key in expected if key in records}
    definition.refuse_others(suite, runs.values(), tables.values, folder / "records")
    values = _of(suite, runs, tables.values, MEASURED)
    gone = escaped(values)
    energies = {
        key: run.model_copy(update={"outcomes": with_escapes(run.outcomes, gone[*key, "energy"])})
        for key, run in runs.items()
    }
    curves = learning_curves.collect(energies, _of(suite, runs, tables.curves, CURVE))
    return Results(suite, folder, runs, _with_failures(suite, energies, values), curves)


def _of(suite: Suite, runs: dict, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Keep the records of runs of the suite."""
    keys = zip(table["suite"], table["dataset"], table["method"], strict=True)
    kept = [name == suite.name and tuple(key) in runs for name, *key in keys]
    return table.loc[np.array(kept, dtype=bool), columns]


def _with_failures(suite: Suite, runs: dict, values: pd.DataFrame) -> pd.DataFrame:
    """Add rows without a value for replicates that failed and were not measured.

    A run of which some replicates did not fail waits for its evaluation instead. Whether a
    metric of what only some objectives learn applies to a method, only an evaluation shows.
    """
    there = set(values[[*KEYS, "replicate"]].itertuples(index=False, name=None))
    evaluated = {key[:2] for key in there}
    failed = [
        dict(zip(MEASURED, (*key, outcome.status, np.nan, np.nan), strict=True))
        for (dataset, method), run in runs.items()
        if (dataset, method) in evaluated
        or all(outcome.status in FAILED for outcome in run.outcomes)
        for outcome in run.outcomes
        if outcome.status in FAILED
        for metric in filter(_always_applies, suite.datasets[dataset].metrics)
        if (key := (dataset, method, "energy", metric, outcome.replicate)) not in there
    ]
    return pd.DataFrame([*values[MEASURED].to_dict("records"), *failed], columns=MEASURED)


def _always_applies(metric: str) -> bool:
    return not {*registry.describe("metrics", metric).requires} & {*LEARNED}
