"""Packing: which runs a job of a cluster has, by the time that they are expected to take.

A job costs seconds before it does anything, and one that is killed loses its place in the queue:
short runs share a job, and long ones are spread over several. Nothing here imports torch: the
workflow packs runs each time it starts.
"""

import json
import math
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ebm_bench import registry
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import replacing

MINUTES = 30.0  # of a job, unless chosen otherwise
# Where there is no record: seconds to start and to evaluate, and of a step for each of its points.
# Data that are no toy density have larger networks.
_STARTS = 10.0
_DENSITY, _OTHER = 25e-6, 500e-6


@dataclass(frozen=True)
class Job:
    """Runs that share a job: all combinations of datasets and methods that the suite has.

    Attributes
    ----------
    datasets, methods : list of str
        Names in the suite; there is one dataset if its methods are spread over several jobs.
    part : int
        Number of the job among these; 0 if it has all methods.
    minutes : float
        Expected time of all runs together, on one core.
    longest : float
        Expected minutes of the longest run.
    """

    datasets: list[str]
    methods: list[str]
    part: int
    minutes: float
    longest: float

    @property
    def name(self) -> str:
        """Name of the job, different from those of the others: no dataset has an @ in its."""
        name, others = self.datasets[0], len(self.datasets) - 1
        return name + (f"_and_{others}_more" if others else f"@{self.part}" if self.part else "")

    def runs(self, suite: Suite) -> list[tuple[str, str]]:
        """List the runs, as (dataset, method)."""
        chosen = {*self.methods}
        return [(d, m) for d in self.datasets for m in suite.methods_of(d) if m in chosen]

    def limit(self, at_once: int) -> float:
        """Minutes after which the job may be killed, with so many runs at once."""
        return 10 + 2 * max(self.minutes / at_once, self.longest)


def whole(suite: Suite, datasets: list[str]) -> Job:
    """Make a job of all runs on some datasets, whatever they take."""
    methods = dict.fromkeys(m for d in datasets for m in suite.methods_of(d))
    return Job(datasets, [*methods], 0, 0.0, 0.0)


def pack(
    suite: Suite, waiting: Mapping[str, Hashable], runs: Path, minutes: float, at_once: int
) -> list[Job]:
    """Pack the runs of a suite into jobs.

    Parameters
    ----------
    suite : Suite
        The suite.
    waiting : mapping of str to hashable
        What each dataset waits for; only those that wait for the same share a job.
    runs : Path
        Folder of runs, with the records of earlier ones.
    minutes : float
        Time that a job is to take.
    at_once : int
        Number of runs that a job can have at once.

    Returns
    -------
    list of Job
        In the order of the suite.
    """
    room = minutes * at_once
    packed: list[Job] = []
    open_: dict[Hashable, Job] = {}  # by what they wait for, those with room left
    for dataset, methods in suite.jobs().items():
        each = {method: _minutes(suite, dataset, method, runs) for method in methods}
        total, longest = sum(each.values()), max(each.values())
        if total > room and len(methods) > 1:
            packed += _split(dataset, each, math.ceil(total / room))
            continue
        job = open_.get(waiting[dataset])
        if job and job.minutes + total <= room:
            joined = whole(suite, [*job.datasets, dataset])
            grown = Job(joined.datasets, joined.methods, 0, job.minutes + total,
                        max(job.longest, longest))  # fmt: skip
            packed[packed.index(job)] = grown
        else:
            grown = Job([dataset], methods, 0, total, longest)
            packed.append(grown)
        open_[waiting[dataset]] = grown
    return packed


def _split(dataset: str, each: Mapping[str, float], parts: int) -> list[Job]:
    """Spread the methods of a dataset over jobs of about the same time: the longest first."""
    chosen: list[list[str]] = [[] for _ in range(min(parts, len(each)))]
    for method in sorted(each, key=lambda m: each[m], reverse=True):
        min(chosen, key=lambda methods: sum(each[m] for m in methods)).append(method)
    return [
        Job([dataset], methods, part, sum(each[m] for m in methods), max(each[m] for m in methods))
        for part, methods in enumerate(chosen, 1)
    ]


def _minutes(suite: Suite, dataset: str, method: str, runs: Path) -> float:
    """Estimate the minutes of a run: by the record of the last one, or by its points."""
    chosen = suite.datasets[dataset]
    budget = chosen.budget
    points = budget.steps * budget.batch_size * chosen.replicates
    folder = runs / dataset / method
    with suppress(OSError, ValueError, KeyError, TypeError):  # none, or not one of this version
        run, evaluation = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("run.json", "evaluation.json")
        )
        cost = run["cost"]
        took = cost["setup_seconds"] + cost["train_seconds"] + evaluation["seconds"]
        done = run["budget"]["steps"] * run["budget"]["batch_size"] * len(run["outcomes"])
        return (_STARTS + took * max(points / max(done, 1), 1)) / 60
    if not registry.describe("objectives", suite.methods[method].objective).trains:
        return _STARTS / 60
    density = "log_prob" in registry.describe("datasets", dataset).knows
    return (_STARTS + min(budget.seconds, points * (_DENSITY if density else _OTHER))) / 60


def key(suite: Suite, minutes: float, at_once: int) -> dict[str, Any]:
    """State what a packing depends on besides what earlier runs took.

    While it stays, so does the packing: otherwise jobs would be run again because they are packed
    in another way.
    """
    return {
        "version": suite.version,
        "minutes": minutes,
        "at_once": at_once,
        "runs": [
            [name, methods, suite.datasets[name].replicates, suite.datasets[name].budget.steps]
            for name, methods in suite.jobs().items()
        ],
    }


def write(jobs: list[Job], key: Mapping[str, Any], path: Path) -> None:
    """Keep a packing, for the jobs and for later starts."""
    with replacing(path) as temporary:
        content = {"key": key, "jobs": [asdict(job) for job in jobs]}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(path: Path, key: Mapping[str, Any] | None = None) -> list[Job] | None:
    """Read a packing; None where there is none, or not one with this key."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if key is None or content["key"] == key:
            return [Job(**job) for job in content["jobs"]]
    return None
