"""The results of a suite: what ran, how it ended, how it ranks."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ebm_bench.errors import InputError
from ebm_bench.records import FAILED, Outcome, Run
from ebm_bench.records.collection import MEASURED
from ebm_bench.report import baselines, stability
from ebm_bench.report.columns import Difference, Estimate
from ebm_bench.report.convergence import Trend, last_quarter
from ebm_bench.report.formatting import ending, quantity
from ebm_bench.report.learning_curves import LearningCurve
from ebm_bench.report.rows import Row
from ebm_bench.report.statistics import friedman, pairwise
from ebm_bench.report.statistics.intervals import ROW, summarise
from ebm_bench.report.statistics.scales import Scale
from ebm_bench.suites.suite import Suite

KEYS = MEASURED[:4]  # dataset, method, model, metric
_UNRANKED = {"rank": None, "mean_rank": np.nan, "best": False, "tied": False, "reference": False}
_DIFFERENCE = {"mean": "difference", "low": "low", "high": "high", "p": "p_corrected"}
CONVERGED = "converged"  # part of a metric: 1 or 0, whether the value of a replicate converged


@dataclass(frozen=True)
class Limit:
    """The common budget of all methods on a dataset, and the method that reached no more."""

    amount: float
    method: str


@dataclass(frozen=True)
class Results:
    """The results of a suite.

    Attributes
    ----------
    suite : Suite
        Suite of the runs.
    folder : Path
        Folder of the suite's results.
    runs : dict of (dataset, method) to Run
        Runs that were made, as training ended; that a model has escaped is in `outcomes`.
    values : DataFrame
        What `collection.collect` gave, in the columns `MEASURED`; a replicate that failed
        without being measured has its rows all the same.
    curves : dict of (dataset, method) to LearningCurve
        Learning curve of each run.
    unit : str
        In which all methods are given the same budget (`budgets.at_equal`); empty for what
        was measured at the end of training.
    limits : dict of str to Limit
        Common budget of each dataset that has one.
    unstarted : dict of (dataset, method) to str
        Reason why a method has no value at that budget.
    """

    suite: Suite
    folder: Path
    runs: dict[tuple[str, str], Run]
    values: pd.DataFrame
    curves: dict[tuple[str, str], LearningCurve]
    unit: str = ""
    limits: dict[str, Limit] = field(default_factory=dict)
    unstarted: dict[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def rankings(self) -> dict[str, pd.DataFrame]:
        """See `pairwise.rank`, for each dataset by its own criterion."""
        return {name: self._rank(name, spec.rank_by) for name, spec in self.suite.datasets.items()}

    @cached_property
    def comparisons(self) -> dict[str, pd.DataFrame]:
        """See `pairwise.compare`, for each dataset by its own criterion."""
        return {
            name: pairwise.compare(*self._measured_by(name, spec.rank_by))
            for name, spec in self.suite.datasets.items()
        }

    @cached_property
    def machines(self) -> dict[str, str]:
        """Hardware of the runs by mark: M1 for that of most runs."""
        counts = Counter(run.hardware for run in self.runs.values())
        return {f"M{i}": name for i, (name, _) in enumerate(counts.most_common(), 1)}

    def machine(self, dataset: str, method: str) -> str:
        """Give the mark of a run's hardware; empty if all runs of the dataset share it."""
        return self._marks.get((dataset, method), "")

    def timed_on(self, dataset: str) -> str:
        """Give the mark of the hardware whose seconds are compared: that of most competing runs."""
        return self._timed_on.get(dataset, "")

    def timed_apart(self, dataset: str, method: str) -> bool:
        """Whether a run was timed on other hardware than that."""
        return self.machine(dataset, method) not in ("", self.timed_on(dataset))

    @cached_property
    def overall(self) -> pd.DataFrame:
        """See `friedman.overall`, over the datasets that count."""
        return friedman.overall(self.rankings, self.counted)

    @cached_property
    def rank_tests(self) -> friedman.RankTests | None:
        """See `friedman.over_datasets`, over the datasets that count."""
        return friedman.over_datasets({name: self.rankings[name] for name in self.counted})

    @cached_property
    def baselines(self) -> dict[str, baselines.Baseline]:
        """See `baselines.find`, for each dataset by its own criterion."""
        return {name: baselines.find(self.suite, self.values, name) for name in self.suite.datasets}

    @property
    def counted(self) -> list[str]:
        """Datasets that enter averages: those on which some method beats the controls."""
        return [name for name, found in self.baselines.items() if not found.unbeaten]

    @property
    def controls(self) -> list[str]:
        """Methods that are not ranked."""
        return [name for name, spec in self.suite.methods.items() if spec.control]

    def rows(self, dataset: str) -> list[Row]:
        """List the rows of a dataset: ranked, then not ranked, then controls, best first."""
        return self._rows[dataset]

    def ranked_by(self, metric: str) -> "Results":
        """View the datasets that have a metric as if it ranked them; the same view each time."""
        return self._ranked_by[metric]

    @cached_property
    def _ranked_by(self) -> dict[str, "Results"]:
        metrics = {metric for spec in self.suite.datasets.values() for metric in spec.metrics}
        return {metric: self._rank_by(metric) for metric in metrics}

    def _rank_by(self, metric: str) -> "Results":
        if all(spec.rank_by == metric for spec in self.suite.datasets.values()):
            return self
        datasets = {
            name: spec.model_copy(update={"rank_by": metric})
            for name, spec in self.suite.datasets.items()
            if metric in spec.metrics
        }
        view = replace(self, suite=self.suite.model_copy(update={"datasets": datasets}))
        for name in ("_estimates", "_measurements", "_ranked", "_best"):  # of the same values
            view.__dict__[name] = getattr(self, name)
        return view

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        return {dataset: self._find_rows(dataset) for dataset in self.suite.datasets}

    def _find_rows(self, dataset: str) -> list[Row]:
        found = self.rankings[dataset].to_dict("records")
        ranking = {(ranked["method"], ranked["model"]): ranked for ranked in found}
        measured = self.values[self.values["dataset"] == dataset]
        models = measured[["method", "model"]].drop_duplicates().itertuples(index=False, name=None)
        expected = [(method, "energy") for method in self.suite.methods_of(dataset)]
        rows = []
        for method, model in dict.fromkeys([*expected, *models]):
            ranked = ranking.get((method, model), _UNRANKED)
            rows.append(
                Row(
                    method=method,
                    model=model,
                    control=method in self.controls,
                    status=self._status(dataset, method, model),
                    **{key: ranked[key] for key in _UNRANKED},
                    run=self.runs.get((dataset, method)),
                    outcomes=self.outcomes(dataset, method, model),
                    machine=self.machine(dataset, method),
                    apart=self.timed_apart(dataset, method),
                    trend=self.trend(dataset, method) if model == "energy" else Trend(),
                    worse=self.baselines[dataset].worse.get((method, model)),
                )
            )
        return sorted(rows, key=lambda row: (row.control, *self._order(dataset, row)))

    def outcomes(self, dataset: str, method: str, model: str = "energy") -> list[Outcome]:
        """List how the replicates of a model ended, of which escapes are its own."""
        run = self.runs.get((dataset, method))
        if run is None:
            return []
        return with_escapes(run.outcomes, self._escaped[dataset, method, model])

    def estimate(self, dataset: str, row: Row, metric: str) -> Estimate:
        """Look up the summary of a metric of a row."""
        return self._estimates.get((dataset, row.method, row.model, metric), Estimate())

    def trend(self, dataset: str, method: str) -> Trend:
        """See `convergence.last_quarter`; missing at equal budgets."""
        if self.unit or (dataset, method) not in self.curves:
            return Trend()
        about = quantity(self.suite.datasets[dataset].curve)
        curve = self.curves[dataset, method]
        return last_quarter(curve, about.scale, bool(about.higher_is_better))

    def difference(self, dataset: str, row: Row) -> Difference | None:
        """Look up how a row differs from the reference; None where there is nothing to compare."""
        return self._differences.get((dataset, row.method, row.model))

    def parts(self, dataset: str) -> list[str]:
        """List the further quantities of a dataset's metrics; convergence is in `estimate`."""
        measured = self.values.loc[self.values["dataset"] == dataset, "metric"].unique()
        known = self.suite.datasets[dataset].metrics
        return [m for m in measured if m not in known and m.partition(".")[2] != CONVERGED]

    def pictures(self, dataset: str, method: str) -> dict[str, np.ndarray]:
        """Load the densities and samples of a run; empty where there are none of it.

        What was not evaluated can have left those of an earlier training.
        """
        path = self.folder / "runs" / dataset / method / "pictures.npz"
        run = self.runs.get((dataset, method))
        # Of a run that failed altogether, a value that is missing is known without an evaluation.
        drawn = run and any(outcome.status not in FAILED for outcome in run.outcomes)
        if not drawn or (dataset, method) not in self._evaluated or not path.exists():
            return {}
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except Exception as error:  # of many kinds: empty, cut, or something else
            raise InputError(f"{path}: is damaged ({error}); remove it and run again") from None

    def missing(self) -> dict[str, list[str]]:
        """List the runs that were not run, and those that were not evaluated."""
        expected = self.suite.runs()
        return {
            "not run": [f"{d}/{m}" for d, m in expected if (d, m) not in self.runs],
            "not evaluated": [
                f"{d}/{m}"
                for d, m in expected
                if (d, m) in self.runs and (d, m) not in self._evaluated
            ],
        }

    @cached_property
    def _measurements(self) -> dict[tuple[str, str], pd.DataFrame]:
        return dict(iter(self.values.groupby(["dataset", "metric"], sort=False)))

    def best(self, dataset: str, metric: str) -> set[tuple[str, str]]:
        """List the models, as (method, model), that are among the best in a metric."""
        if (dataset, metric) not in self._best:
            ranked = self._rank(dataset, metric)
            chosen = ranked.loc[ranked["best"], ROW].itertuples(index=False, name=None)
            self._best[dataset, metric] = set(chosen)
        return self._best[dataset, metric]

    @cached_property
    def texts(self) -> dict[str, dict[str, str]]:
        """Tables as files, by dataset, as far as `tables.dataset_texts` has made them."""
        return {}

    @cached_property
    def _best(self) -> dict[tuple[str, str], set[tuple[str, str]]]:
        return {}

    def _rank(self, dataset: str, metric: str) -> pd.DataFrame:
        if (dataset, metric) not in self._ranked:
            self._ranked[dataset, metric] = pairwise.rank(*self._measured_by(dataset, metric))
        return self._ranked[dataset, metric]

    def places(self, dataset: str) -> pd.DataFrame:
        """See `pairwise.places`, by the criterion of a dataset."""
        return pairwise.places(*self._measured_by(dataset, self.suite.datasets[dataset].rank_by))

    @cached_property
    def stability(self) -> stability.Stability | None:
        """See `stability.between_halves`, over the datasets that count."""
        return stability.between_halves({name: self.places(name) for name in self.counted})

    @cached_property
    def _ranked(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {}

    def _measured_by(self, dataset: str, metric: str) -> tuple[pd.DataFrame, bool, Scale]:
        """Take what competes in a metric, whether higher is better, and the metric's scale."""
        chosen = self._measurements.get((dataset, metric), self.values.iloc[:0])
        competing = ~chosen["method"].isin(self.controls) & (chosen["model"] == "energy")
        about = quantity(metric)
        return chosen[competing], bool(about.higher_is_better), about.scale

    @cached_property
    def _marks(self) -> dict[tuple[str, str], str]:
        """The marks of the runs of datasets that were timed on several machines."""
        marks = {hardware: mark for mark, hardware in self.machines.items()}
        found = {key: marks[run.hardware] for key, run in self.runs.items()}
        used = Counter(dataset for dataset, _ in {(key[0], mark) for key, mark in found.items()})
        return {key: mark for key, mark in found.items() if used[key[0]] > 1}

    @cached_property
    def _timed_on(self) -> dict[str, str]:
        found = {}
        for dataset in dict.fromkeys(dataset for dataset, _ in self._marks):
            marked = {m: mark for (d, m), mark in self._marks.items() if d == dataset}
            competing = [mark for m, mark in marked.items() if m not in self.controls]
            ((found[dataset], _),) = Counter(competing or marked.values()).most_common(1)
        return found

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str], Difference]:
        return {
            (dataset, ranked["method"], ranked["model"]): Difference(
                **{name: ranked[column] for name, column in _DIFFERENCE.items()},
                n=int(ranked["n"]),
                factor=quantity(self.suite.datasets[dataset].rank_by).scale == "log",
            )
            for dataset, ranking in self.rankings.items()
            for ranked in ranking.to_dict("records")
            if ranked["n"] >= 0  # there is a reference, which is another model
        }

    @cached_property
    def _estimates(self) -> dict[tuple[str, str, str, str], Estimate]:
        return estimates(self.values, lambda metric: quantity(metric).scale)

    @cached_property
    def _measured(self) -> set[tuple[str, str, str]]:
        return {key[:3] for key in self._estimates}

    @cached_property
    def _evaluated(self) -> set[tuple[str, str]]:
        return {key[:2] for key in self._measured}

    @cached_property
    def _escaped(self) -> dict[tuple[str, ...], set[int]]:
        return escaped(self.values)

    def _status(self, dataset: str, method: str, model: str) -> str:
        run = self.runs.get((dataset, method))
        if run is None:
            return "not run"
        ended = ending(self.outcomes(dataset, method, model))
        if (dataset, method, model) in self._measured:
            return ended
        reason = self.unstarted.get((dataset, method), "not evaluated")
        return reason if ended == "ok" else f"{ended}, {reason}"

    def _order(self, dataset: str, row: Row) -> tuple[float, float, bool, float]:
        """Order by rank, then what converged first, by its value; what has none comes last."""
        criterion = self.suite.datasets[dataset].rank_by
        found = self.estimate(dataset, row, criterion)
        sign = -1 if quantity(criterion).higher_is_better else 1
        value = np.inf if np.isnan(found.mean) else sign * found.mean
        if row.rank is None:
            return np.inf, np.inf, False, value
        return row.rank, row.mean_rank, found.converged < 1, value


def estimates(
    values: pd.DataFrame, scale_of: Callable[[str], Scale] = lambda metric: "linear"
) -> dict[tuple[str, str, str, str], Estimate]:
    """Summarise values over replicates, by dataset, method, model and metric.

    Parameters
    ----------
    values, scale_of
        As for `summarise`.
    """
    summaries = summarise(values, scale_of).set_index(KEYS).to_dict("index")
    found = {}
    for (*row, metric), summary in summaries.items():
        part = (*row, f"{metric.partition('.')[0]}.{CONVERGED}")
        share = summaries[part]["mean"] if part in summaries else np.nan
        bound = share < 1 and quantity(metric).lower_bound
        found[*row, metric] = Estimate(**summary, converged=share, lower_bound=bound)
    return found


def escaped(values: pd.DataFrame) -> dict[tuple[str, ...], set[int]]:
    """List the replicates whose mass has left the data, by dataset, method and model."""
    found = defaultdict(set)
    gone = values.loc[values["status"] == "escaped", [*KEYS[:3], "replicate"]]
    for *key, replicate in gone.itertuples(index=False, name=None):
        found[tuple(key)].add(replicate)
    return found


def with_escapes(outcomes: list[Outcome], replicates: set[int]) -> list[Outcome]:
    """Give these replicates the status of a model that has escaped."""
    return [
        o.model_copy(update={"status": "escaped"}) if o.replicate in replicates else o
        for o in outcomes
    ]
