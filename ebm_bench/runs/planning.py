"""Planning: what the runs of a suite cost, estimated from the records of earlier ones.

Nothing here imports torch.
"""

import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records import Run
from ebm_bench.runs import packing
from ebm_bench.suites.suite import Suite

_AT_ONCE = 8  # runs of a job, as in the workflow

Place = tuple[str, str]  # dataset, method


@dataclass(frozen=True)
class Plan:
    """What a suite costs.

    Attributes
    ----------
    runs, recorded : int
        Number of runs, and of those whose cost is in a record. Others are estimated: by what the
        method took on other datasets, or else by what others took on the dataset.
    training : float
        Seconds of all trainings on one core or GPU, their set-up included.
    measuring : float or None
        Seconds of all evaluations; None where no evaluation of the records is there.
    wall : float
        Seconds until all is done, with the longest runs first.
    longest : float
        Seconds of the longest run.
    jobs : int
        Number of jobs of a cluster.
    storage : float or None
        Bytes of all runs; None where no run of the records is there.
    """

    runs: int
    recorded: int
    training: float
    measuring: float | None
    wall: float
    longest: float
    jobs: int
    storage: float | None


def plan(suite: Suite, records: Mapping[Place, Run], folder: Path, nodes: int) -> Plan:
    """Plan the runs of a suite.

    Parameters
    ----------
    suite : Suite
        The suite.
    records : mapping of (dataset, method) to Run
        Earlier runs, also of other budgets and other datasets.
    folder : Path
        Folder of their files, which need not be there.
    nodes : int
        Cores or GPUs, each with one run at a time.

    Raises
    ------
    InputError
        Where there is no record to estimate from.
    """
    places = suite.runs()
    training = estimate(suite, places, records)
    evaluations = _mean(_seconds(folder / d / m) for d, m in records)
    each = [seconds + (evaluations or 0.0) for seconds in training.values()]
    size = _mean(_size(folder / d / m) for d, m in records)
    waiting = {name: registry.describe("datasets", name).downloads for name in suite.jobs()}
    jobs = packing.pack(suite, waiting, folder, packing.MINUTES, _AT_ONCE)
    return Plan(
        runs=len(places),
        recorded=sum(place in records for place in places),
        training=sum(training.values()),
        measuring=evaluations and evaluations * len(places),
        wall=_wall(each, nodes),
        longest=max(each, default=0.0),
        jobs=len(jobs),
        storage=size and size * len(places),
    )


def estimate(
    suite: Suite, places: Iterable[Place], records: Mapping[Place, Run]
) -> dict[Place, float]:
    """Estimate the seconds that trainings take, from records of some of them or of others.

    The cost of steps is in proportion to their number, to the points of each and to the
    replicates, that of set-up to the replicates.
    """
    setups = {key: run.cost.setup_seconds / len(run.outcomes) for key, run in records.items()}
    ratios = {key: run.cost.train_seconds / _work(run) for key, run in records.items()}
    if not ratios:
        raise InputError(f"{suite.name}: there is no record of a run to estimate from")
    groups: dict[Place, list[Place]] = defaultdict(list)
    for key in records:
        for group in (key, ("", key[1]), (key[0], ""), ("", "")):
            groups[group].append(key)
    found = {}
    for dataset, method in places:
        # The first of these that has a record.
        asked = ((dataset, method), ("", method), (dataset, ""), ("", ""))
        alike = next(groups[group] for group in asked if group in groups)
        budget, replicates = suite.budget_of(dataset, method), suite.datasets[dataset].replicates
        work = budget.steps * budget.batch_size * replicates
        setup, ratio = (sum(each[key] for key in alike) / len(alike) for each in (setups, ratios))
        found[dataset, method] = replicates * setup + work * ratio
    return found


def _work(run: Run) -> int:
    """Points of all steps of all replicates; 1 where there were no steps."""
    return max(run.budget["steps"] * run.budget.get("batch_size", 1) * len(run.outcomes), 1)


def _wall(seconds: Iterable[float], nodes: int) -> float:
    """Seconds until all runs are done, where each node takes the longest that is left."""
    ends = [0.0] * nodes
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _seconds(folder: Path) -> float | None:
    """Seconds of the evaluation of a run; None where it is not there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = (folder / "evaluation.json").read_text(encoding="utf-8")
        return float(json.loads(text)["seconds"])
    return None


def _size(folder: Path) -> float | None:
    """Bytes of the files of a run; None where there are none."""
    sizes = [path.stat().st_size for path in folder.glob("*") if path.is_file()]
    return float(sum(sizes)) if sizes else None


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
