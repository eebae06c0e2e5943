"""The jobs of a suite of parameter estimation: estimates on disk, with what theory says."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ebm_bench import records
from ebm_bench.records import provenance
from ebm_bench.records.fingerprint import digest
from ebm_bench.streams import Streams
from ebm_bench.studies.estimation.asymptotics import asymptote
from ebm_bench.studies.estimation.estimate import Setting, estimate
from ebm_bench.studies.estimation.suite import EstimationSuite
from ebm_bench.utils.files import replacing
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

TABLE, RECORD = "estimates.parquet", "record.json"
# Quantiles of squared errors: a band and its median.
LEVELS = (0.1, 0.5, 0.9)


def run(suite: EstimationSuite, model: str, methods: list[str], out: str | Path) -> None:
    """Estimate the parameters of a model by some methods; what is there already is kept.

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
        else:
            _Job(suite, model, method).run(folder)


def fingerprint(suite: EstimationSuite, model: str, method: str) -> str:
    """Digest what a job depends on."""
    return digest(suite.slice(model, method), suite.files(model, method))


def setting(suite: EstimationSuite, model: str, method: str) -> Setting:
    """Describe what is estimated, and by which objective."""
    energy, spec = suite.energy_of(model, method), suite.methods[method]
    data = suite.models[model].dataset
    return Setting(
        data.name,
        energy.name,
        spec.objective,
        data.settings,
        energy.settings,
        suite.settings_of(model, method),
        spec.varies,
    )


@dataclass
class _Job:
    suite: EstimationSuite
    model: str
    method: str

    def run(self, folder: Path) -> None:
        before = time.perf_counter()
        suite, name = self.suite, f"{self.model} {self.method}"
        chosen = setting(suite, self.model, self.method)
        streams = Streams(suite.seed, suite.data_sets, scope=(suite.name, self.model))
        grid = suite.grid(self.model, self.method)
        tables = []
        with track(name, len(grid) * suite.data_sets) as update:
            for index, (size, ratio) in enumerate(grid):
                start, words = index * suite.data_sets, f"N = {size}, ν = {ratio}"

                def progress(done: int, start: int = start, words: str = words) -> None:
                    update(start + done, words)

                found = estimate(chosen, size, ratio, streams, progress)
                tables.append(self._table(found, size, ratio))
        theory = self._theory(chosen, grid)
        record = records.Estimation(
            suite=suite.name,
            suite_version=suite.version,
            model=self.model,
            method=self.method,
            fingerprint=fingerprint(suite, self.model, self.method),
            theory=theory,
            seconds=time.perf_counter() - before,
            provenance=provenance.collect("cpu"),
        )
        with replacing(folder / TABLE) as temporary:
            pd.concat(tables).to_parquet(temporary, index=False)
        records.write(record, folder / RECORD)  # last, since it marks the job as complete

    def _table(self, found, size: int, ratio: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "model": self.model,
                "method": self.method,
                "size": size,
                "ratio": ratio,
                "replicate": range(self.suite.data_sets),
                "status": found.status,
                "evaluations": found.evaluations.numpy(),
                "gradient": found.gradient.numpy(),
                "error": found.errors.numpy(),
                "estimate": list(found.values.numpy()),
            }
        )

    def _theory(self, chosen: Setting, grid) -> list[records.Theory]:
        suite, found = self.suite, {}
        biased = suite.biased(self.model, self.method)
        streams = Streams(suite.seed, scope=(suite.name, self.model, "theory"))
        ratios = sorted({ratio for _, ratio in grid})
        with track(f"{self.model} {self.method}, theory", len(ratios)) as update:
            for done, ratio in enumerate(ratios):
                budget = suite.theory_evaluations
                found[ratio] = asymptote(chosen, ratio, streams, budget, biased)
                update(done + 1, f"ν = {ratio}")
        rows = []
        for size, ratio in grid:
            errors = found[ratio].errors(size, LEVELS)
            rows.append(
                records.Theory(
                    size=size,
                    ratio=ratio,
                    variance=found[ratio].variance,
                    error=found[ratio].error,
                    bias=found[ratio].bias.norm().item(),
                    bias_error=found[ratio].bias_error,
                    **dict(zip(("low", "median", "high"), errors, strict=True)),
                )
            )
        return rows


def _is_done(suite: EstimationSuite, model: str, method: str, folder: Path) -> bool:
    if not (folder / RECORD).exists() or not (folder / TABLE).exists():
        return False
    record: records.Estimation = records.read(records.Estimation, folder / RECORD)
    return record.fingerprint == fingerprint(suite, model, method)
