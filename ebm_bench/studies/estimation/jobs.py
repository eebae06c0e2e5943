"""The jobs of a suite of parameter estimation: estimates on disk, with their asymptotic theory."""

import logging
import time
from contextlib import chdir
from pathlib import Path

import pandas as pd

from ebm_bench import records
from ebm_bench.records import provenance
from ebm_bench.records.fingerprint import digest
from ebm_bench.streams import Streams
from ebm_bench.studies.estimation.asymptotics import Asymptote, asymptote
from ebm_bench.studies.estimation.estimate import Setting, estimate
from ebm_bench.studies.estimation.suite import RECORD, TABLE, EstimationSuite
from ebm_bench.suites.base import Named
from ebm_bench.utils import leases
from ebm_bench.utils.files import replacing
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

# Quantiles of squared errors: a band and its median.
LEVELS = (0.1, 0.5, 0.9)
_LEASE = ".lease"  # in the folder of a job, while a process works on it


def run(suite: EstimationSuite, model: str, methods: list[str], out: str | Path) -> None:
    """Estimate the parameters of a model by some methods; what is there already is kept.

    Of several processes that do the same, one works and the others wait.

    Parameters
    ----------
    suite : EstimationSuite
        Suite of the job.
    model, methods : str, list of str
        Names in the suite.
    out : path
        Folder of the results: a table and a record in ``out/model/method`` for each method.
    """
    for method in methods:
        folder = Path(out) / model / method
        if _is_done(suite, model, method, folder):
            log.info("%s %s: done already", model, method)
            continue
        # Jobs outlive a workflow that was killed, and another may have been started.
        with leases.hold(folder / _LEASE, f"{model} {method}"):
            if not _is_done(suite, model, method, folder):  # by now
                _run(suite, model, method, folder)


def fingerprint(suite: EstimationSuite, model: str, method: str) -> str:
    """Digest what a job depends on."""
    return digest("".join(suite.slices(model, method)), suite.files(model, method))


def setting(suite: EstimationSuite, model: str, method: str) -> Setting:
    """Describe what is estimated, and by which objective."""
    spec, stated = suite.methods[method], suite.models[model].dataset
    objective = Named(name=spec.objective, settings=suite.settings_of(model, method))
    energy, data = suite.energy_of(model, method), suite.data(stated.name, stated.settings)
    return Setting(data, energy, objective, spec.varies)


def _run(suite: EstimationSuite, model: str, method: str, folder: Path) -> None:
    before = time.perf_counter()
    chosen = setting(suite, model, method)
    with chdir("."):  # which a plugin may change
        table = _table(suite, model, method, chosen)
        theory = _theory(suite, model, method, chosen)
    record = records.Estimation(
        suite=suite.name,
        suite_version=suite.version,
        model=model,
        method=method,
        fingerprint=fingerprint(suite, model, method),
        settings=suite.settings(model, method),
        theory=theory,
        seconds=time.perf_counter() - before,
        provenance=provenance.collect("cpu"),
    )
    with replacing(folder / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    records.write(record, folder / RECORD)  # last, since it marks the job as complete


def _table(suite: EstimationSuite, model: str, method: str, chosen: Setting) -> pd.DataFrame:
    grid = suite.grid(model, method)
    streams = Streams(suite.seed, suite.data_sets, scope=(suite.name, model))
    tables = []
    with track(f"{model} {method}", len(grid)) as update:
        for done, (size, ratio) in enumerate(grid):
            update(done, f"N = {size}, ν = {ratio}")
            found = estimate(chosen, size, ratio, streams)
            columns = {
                "model": model,
                "method": method,
                "size": size,
                "ratio": ratio,
                "replicate": range(suite.data_sets),
                "status": found.status,
                "evaluations": found.evaluations.numpy(),
                "gradient": found.gradient.numpy(),
                "error": found.errors.numpy(),
                "estimate": list(found.values.numpy()),
            }
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def _theory(
    suite: EstimationSuite, model: str, method: str, chosen: Setting
) -> list[records.Theory]:
    streams = Streams(suite.seed, scope=(suite.name, model, "theory"))
    budget, biased = suite.theory_evaluations, suite.biased(model, method)
    asymptotes: dict[int, Asymptote] = {}
    rows = []
    for size, ratio in suite.grid(model, method):
        if ratio not in asymptotes:
            log.info("%s %s: theory, ν = %d", model, method, ratio)
            asymptotes[ratio] = asymptote(chosen, ratio, streams, budget, biased)
        found = asymptotes[ratio]
        low, median, high = found.errors(size, LEVELS)
        rows.append(
            records.Theory(
                size=size,
                ratio=ratio,
                variance=found.variance,
                error=found.error,
                bias=found.bias.norm().item(),
                bias_error=found.bias_error,
                low=low,
                median=median,
                high=high,
            )
        )
    return rows


def _is_done(suite: EstimationSuite, model: str, method: str, folder: Path) -> bool:
    record = records.read_whole(records.Estimation, folder / RECORD)
    if record is None or not (folder / TABLE).exists():
        return False
    return record.fingerprint == fingerprint(suite, model, method)
