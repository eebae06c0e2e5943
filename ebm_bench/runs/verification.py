"""Verification of a submission: measure its weights again, train one replicate again.

A submission is a results folder: its ``records`` with the suite in it, and of each run
``runs/DATASET/METHOD/weights.safetensors``. It comes from others: of its
content only plugins are executed, and these only on demand.
"""

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from ebm_bench import records
from ebm_bench.errors import InputError, choose
from ebm_bench.records import Outcome, Run, collection, definition, fingerprint
from ebm_bench.records.collection import Tables
from ebm_bench.records.merging import agree
from ebm_bench.runs import evaluation, training
from ebm_bench.suites import suite
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

WEIGHTS = "weights.safetensors"
MEASURED, RETRAINED = "measured again", "trained again"

Place = tuple[str, str]  # dataset, method
Results = dict[tuple[int, str], float | str]  # by replicate and name


@dataclass(frozen=True)
class Check:
    """A submitted number beside the one found here.

    Attributes
    ----------
    how : str
        `MEASURED` or `RETRAINED`.
    what : str
        Name of the number: ``kl_divergence of energy``, ``curve at step 10``, ``status``.
    submitted, found : float or str
        Values; NaN if a replicate has none.
    holds : bool
        Whether they are equal up to the tolerance.
    """

    dataset: str
    method: str
    how: str
    replicate: int
    what: str
    submitted: float | str
    found: float | str
    holds: bool


@dataclass(frozen=True, eq=False)
class Submission:
    """A submission, or some runs of it.

    Attributes
    ----------
    folder : Path
        Folder with ``records`` and ``runs``.
    suite : Suite
        Suite that describes the runs.
    tables : Tables
        Submitted records.
    runs : dict of (dataset, method) to Run
        Runs to verify.
    """

    folder: Path
    suite: Suite
    tables: Tables
    runs: dict[Place, Run]

    def values(self, run: Run) -> Iterable[Any]:
        """Rows of the submitted values of a run."""
        rows = self.tables.values
        own = (rows["dataset"] == run.dataset) & (rows["method"] == run.method)
        return rows[own].itertuples()

    def weights(self, place: Place) -> Path:
        """Path of the weights of a run."""
        return self.folder.joinpath("runs", *place, WEIGHTS)


def load(
    folder: str | Path,
    datasets: Collection[str] = (),
    methods: Collection[str] = (),
    run_plugin: bool = False,
) -> Submission:
    """Read a submission, or some runs of it.

    Parameters
    ----------
    folder : path
        Folder of the submission.
    datasets, methods : collection of str
        Datasets and methods whose runs are verified; all if none is named.
    run_plugin : bool
        Whether plugins that came with it may be executed.

    Raises
    ------
    InputError
        If a file is missing or not valid, a plugin would have to be executed without
        permission, a name is unknown, or records do not match the suite.
    """
    folder = Path(folder)
    path = folder / "records" / collection.SUITE
    plugins = collection.plugins_of(path)
    if plugins and not run_plugin:
        raise InputError(
            f"{path}: to verify this, code that came with it must be executed "
            f"({', '.join(plugins)}). Read it first; --run-plugin executes it, with all "
            "that you may do on this machine"
        )
    loaded, tables = suite.load(path), collection.load(folder / "records")
    collection.refuse_mixed(tables.runs, tables.values)
    runs = {key[1:]: run for key, run in tables.records().items()}
    datasets = choose("dataset of this submission", datasets, {d for d, _ in runs}, folder)
    methods = choose("method of this submission", methods, {m for _, m in runs}, folder)
    chosen = {key: run for key, run in runs.items() if key[0] in datasets and key[1] in methods}
    if not chosen:
        raise InputError(f"{folder}: has no such run, of a method and a dataset that were named")
    submission = Submission(folder, loaded, tables, chosen)
    for (dataset, method), run in chosen.items():
        _check_described(submission, dataset, method, run)
    return submission


def verify(
    submission: Submission, device: str, tolerance: float, replicate: int | None = None
) -> list[Check]:
    """Measure all chosen runs again, and train one replicate of one of them again.

    The same seeds give the same numbers, to rounding. Of the run with the shortest training, the
    first replicate that did not fail is trained again: see `to_retrain`.

    Parameters
    ----------
    submission : Submission
        Submission, as loaded by `load`.
    device : str
        Name of the device in torch.
    tolerance : float
        Largest relative difference of equal numbers.
    replicate : int, optional
        Replicate to train again; by default the first that did not fail.

    Raises
    ------
    InputError
        If runs were made on another kind of device, which draws other random numbers; if
        weights cannot be loaded; if there is no such replicate.
    """
    for (dataset, method), run in submission.runs.items():
        made = run.provenance.device.partition(":")[0]
        if made != device.partition(":")[0]:
            raise InputError(
                f"{method} on {dataset} was made on {made}, and this would be {device}, where "
                "the same seeds draw other numbers. Choose with --device, --dataset and --method"
            )
    again = to_retrain(submission, replicate)
    checks = []
    with tempfile.TemporaryDirectory(prefix="ebm-bench-verify-") as scratch:
        with track("measure", len(submission.runs)) as update:
            for done, (dataset, method) in enumerate(submission.runs):
                update(done, f"{method} on {dataset}")
                checks += _measure(submission, dataset, method, device, tolerance, Path(scratch))
            update(len(submission.runs), "")
        if again:
            (dataset, method), chosen = again
            log.info("train %s on %s again, replicate %d", method, dataset, chosen)
            checks += _retrain(
                submission, dataset, method, chosen, device, tolerance, Path(scratch)
            )
        else:
            log.info("nothing is trained again: no chosen run took a step and ended well")
    return checks


def to_retrain(submission: Submission, replicate: int | None) -> tuple[Place, int] | None:
    """Choose a run and a replicate to train again; None if no chosen run was trained."""
    # Where time or memory ended a training, no other machine ends it at the same step.
    repeated = ("ok", "diverged", "flow_escaped")
    for wanted in repeated:
        trained = {
            place: run
            for place, run in submission.runs.items()
            if any(o.step > 0 and o.status == wanted for o in run.outcomes)
        }
        if trained:
            break
    else:
        return None
    place = min(trained, key=lambda place: (trained[place].cost.train_seconds, place))
    ended = {o.replicate: o.status for o in trained[place].outcomes}
    known = [r for r, status in ended.items() if status in repeated]
    if replicate is None:
        return place, min(r for r in known if ended[r] == wanted)
    if replicate not in known:
        named, valid = " ".join(reversed(place)), ", ".join(map(str, known))
        why = f"ended by {ended[replicate]}" if replicate in ended else "is not there"
        raise InputError(f"{named}: replicate {replicate} {why}. Valid: {valid}")
    return place, replicate


def table(checks: Iterable[Check]) -> pd.DataFrame:
    """Convert checks to a table."""
    return pd.DataFrame([vars(check) for check in checks], columns=list(Check.__annotations__))


def summary(checks: list[Check]) -> str:
    """Count the numbers of each run that hold, and list those that do not."""
    numbers = table(checks)
    runs = numbers.groupby(["dataset", "method", "how"], sort=False)["holds"]
    counts = runs.agg(numbers="size", hold="sum").reset_index()
    shown = counts.rename(columns=str.capitalize).to_markdown(index=False, tablefmt="simple")
    broken = numbers[~numbers["holds"].astype(bool)].drop(columns="holds")
    if broken.empty:
        return f"{shown}\n\nAll {len(numbers)} numbers hold."
    listed = broken.to_markdown(index=False, tablefmt="simple", disable_numparse=True)
    return f"{shown}\n\n{listed}\n\n{len(broken)} of {len(numbers)} numbers do not hold."


def _check_described(submission: Submission, dataset: str, method: str, run: Run) -> None:
    """Refuse a record that is not of a run that the suite describes."""
    described, folder = submission.suite, submission.folder / "records"
    if dataset not in described.datasets or method not in described.methods_of(dataset):
        raise InputError(f"{folder}: the suite has no {method} on {dataset}")
    if different := definition.differences(described, run):
        raise InputError(f"{folder}: {method} on {dataset}: {'; '.join(different)}")
    weights = submission.weights((dataset, method))
    if not weights.is_file():
        raise InputError(f"{weights}: is missing, and nothing can be measured without")


def _measure(
    submission: Submission, dataset: str, method: str, device: str, tolerance: float, scratch: Path
) -> list[Check]:
    """Measure submitted weights."""
    described, run = submission.suite, submission.runs[dataset, method]
    current = fingerprint.of_training(described, dataset, method)
    if run.fingerprint != current:
        log.info(
            "%s on %s was trained by other code (%s) than this", method, dataset,
            run.provenance.commit,
        )  # fmt: skip
    folder = scratch / "submitted" / dataset / method
    folder.mkdir(parents=True)
    weights = submission.weights((dataset, method))
    os.symlink(weights.resolve(), folder / WEIGHTS)
    # The code that measures is this one, whichever trained.
    records.write(run.model_copy(update={"fingerprint": current}), folder / "run.json")
    try:
        found = evaluation.evaluate(described, dataset, method, folder, device)
    except InputError as error:  # of the file that was handed in, which nobody here can mend
        text = str(error).replace(str(folder), str(weights.parent))
        raise InputError(text.replace("; train again", "")) from None
    shutil.rmtree(folder)
    replicates = [outcome.replicate for outcome in run.outcomes]
    submitted = _values(submission.values(run), replicates)
    here = _values(_with_statuses(run, found.values), replicates)
    return _compare(run, MEASURED, submitted, here, tolerance)


def _retrain(
    submission: Submission,
    dataset: str,
    method: str,
    replicate: int,
    device: str,
    tolerance: float,
    scratch: Path,
) -> list[Check]:
    """Train a replicate, and measure it."""
    run = submission.runs[dataset, method]
    # Replicates do not depend on each other; the first ones are numbered from 0. Whether steps are
    # compiled may depend on their number, and older records do not say it.
    data = submission.suite.datasets[dataset]
    few = data.model_copy(
        update={"replicates": replicate + 1, "compute": run.steps or data.compute}
    )
    smaller = submission.suite.model_copy(
        update={"datasets": {**submission.suite.datasets, dataset: few}}
    )
    out = scratch / "retrained"
    training.train(smaller, dataset, [method], out, device)
    folder = out / dataset / method
    trained: Run = records.read(Run, folder / "run.json")
    found = evaluation.evaluate(smaller, dataset, method, folder, device)
    last = next(o for o in run.outcomes if o.replicate == replicate)
    submitted, here = (_course(record, last) for record in (run, trained))
    submitted |= _values(submission.values(run), [replicate])
    here |= _values(_with_statuses(trained, found.values), [replicate])
    return _compare(run, RETRAINED, submitted, here, tolerance)


def _course(run: Run, last: Outcome) -> Results:
    """Read the course of the training of a replicate, up to its submitted outcome."""
    replicate, alive = last.replicate, last.status == "ok"
    status = next(o.status for o in run.outcomes if o.replicate == replicate)
    course: Results = {(replicate, "status"): status}
    # What has diverged is carried along as long as others train, which here may be none.
    until = math.inf if alive else last.step
    for point in run.curve:
        if point.replicate == replicate and point.step <= until:
            course[replicate, f"curve at step {point.step}"] = point.value
    if alive:
        course[replicate, "energy evaluations"] = run.cost.energy_evaluations
    return course


def _with_statuses(run: Run, values: Iterable[records.Value]) -> Iterator[Any]:
    """Give values the statuses that collecting gives them."""
    ended = {outcome.replicate: outcome.status for outcome in run.outcomes}
    for value in values:
        status = {"status": ended[value.replicate], **collection.escape(run, value)}
        yield SimpleNamespace(**{**value.model_dump(), **status})


def _values(rows: Iterable[Any], replicates: Collection[int]) -> Results:
    """Read the values of some replicates, and the statuses by which each model is ranked."""
    chosen = [row for row in rows if row.replicate in replicates]
    found: Results = {
        (row.replicate, f"{row.metric} of {row.model}"): math.nan
        if row.value is None
        else row.value
        for row in chosen
    }
    statuses: dict[tuple[int, str], dict[str, None]] = {}
    for row in chosen:
        statuses.setdefault((row.replicate, f"status of {row.model}"), {})[row.status] = None
    return found | {place: " and ".join(several) for place, several in statuses.items()}


def _compare(
    run: Run, how: str, submitted: Results, here: Results, tolerance: float
) -> list[Check]:
    """Compare results; one that is on one side alone does not hold."""
    nan = math.nan
    return [
        Check(
            run.dataset, run.method, how, *key, submitted.get(key, nan), here.get(key, nan),
            key in submitted and key in here and agree(submitted[key], here[key], tolerance),
        )
        for key in dict.fromkeys([*submitted, *here])
    ]  # fmt: skip
