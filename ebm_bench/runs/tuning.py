"""Tuning: the same number of trials for every method, and the file of what came out."""

import json
import logging
import time
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel

from ebm_bench import metrics, records
from ebm_bench.errors import InputError
from ebm_bench.records import provenance
from ebm_bench.records.fingerprint import digest, tuning_files
from ebm_bench.runs import assembly, training
from ebm_bench.streams import hashed
from ebm_bench.suites.suite import Suite
from ebm_bench.suites.tuning import (
    TRIAL_CURVE,
    Chosen,
    Scored,
    Tuned,
    TunedDataset,
    Tuning,
    Values,
)
from ebm_bench.utils import devices
from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")


_QUANTILE = 0.9

TrialStatus = records.Status | Literal["not_finite", "not_converged"]


class Trial(BaseModel):
    """What one trial left.

    Attributes
    ----------
    values : Values
        That were tried.
    status : str
        ``ok``, or why there is no score: a replicate failed, or its score was not finite or
        its integral not converged.
    score : float or None
        High quantile over replicates, so that values which blow up now and then lose; less is
        better.
    seconds : float
        Of training and measuring.
    """

    values: Values
    status: TrialStatus
    score: float | None
    seconds: float
    provenance: records.Provenance


class Trials(BaseModel):
    """All trials of a method on a dataset."""

    dataset: str
    method: str
    trials: list[Trial]


def tune(
    suite: Suite,
    dataset: str,
    method: str,
    out: str | Path,
    device: str = "cpu",
    expected: list[Path] | None = None,
) -> Trials:
    """Run all trials of a method on a dataset.

    Writes ``out/dataset/method.json``, and each trial to ``out/.trials`` when it has ended:
    trials that are there are not repeated.

    Parameters
    ----------
    suite : Suite
        Suite with a section ``tuning`` and without tuned values.
    dataset, method : str
        Names in the suite.
    out : path
        Folder of trials.
    device : str
        Name of the device, as for `devices.acquire`.
    expected : list of Path, optional
        Files of the trials by the code that this process has imported.

    Raises
    ------
    InputError
        If code was edited since then.
    """
    files = trial_files(suite, dataset, method, out)
    if expected is not None and list(files) != expected:
        raise InputError(f"{dataset} {method}: code was edited meanwhile; start again")
    trials = []
    for number, (path, values) in enumerate(files.items(), 1):
        if not path.exists():
            with devices.acquire(device) as claimed:
                trial = run_trial(suite, dataset, method, values, claimed)
            records.write(trial, path)
            _report(trial, f"{dataset} {method}: trial {number} of {len(files)}")
        trials.append(records.read(Trial, path))
    found = Trials(dataset=dataset, method=method, trials=trials)
    records.write(found, Path(out, dataset, f"{method}.json"))
    return found


def is_tuned(suite: Suite, dataset: str, method: str, out: str | Path) -> bool:
    """Whether `tune` has no trial left to run."""
    return all(path.exists() for path in trial_files(suite, dataset, method, out))


def trial_files(suite: Suite, dataset: str, method: str, out: str | Path) -> dict[Path, Values]:
    """Map the file of each trial to its values."""
    return {
        Path(out, ".trials", f"{_digest(suite, dataset, method, values)}.json"): values
        for values in suite.search_of(dataset, method)
    }


def trial_suite(suite: Suite, dataset: str, method: str, values: Values) -> Suite:
    """Describe a trial as a suite of one run, with random numbers of its own.

    Parameters
    ----------
    suite, dataset, method
        As for `tune`, for one method.
    values : Values
        To be tried.
    """
    data, tuning = suite.datasets[dataset], _section(suite)
    budget = {"steps": tuning.steps, "learning_rate": values.learning_rate}
    data = data.model_copy(
        update={
            "budget": data.budget.model_copy(update=budget),
            "replicates": tuning.replicates,
            "metrics": {},
            "curve": TRIAL_CURVE,
            "curve_points": 2,
        }
    )
    settings = {**values.settings, **suite.stated_settings(dataset, method)}
    spec = suite.methods[method].model_copy(update={"settings": settings, "overrides": {}})
    return suite.model_copy(
        update={"seed": seed_of(suite), "datasets": {dataset: data}, "methods": {method: spec}}
    )


def _section(suite: Suite) -> Tuning:
    assert suite.tuning is not None  # the command refuses suites without it
    return suite.tuning


def seed_of(suite: Suite) -> int:
    """Derive the seed of all trials, so that they share no data with the suite itself."""
    return hashed("tuning", suite.seed)


def run_trial(suite: Suite, dataset: str, method: str, values: Values, device: str) -> Trial:
    """Train with some values, and score the result by the suite's criterion.

    Parameters
    ----------
    suite, dataset, method, values
        As for `trial_suite`.
    device : str
        As torch calls it.
    """
    started = time.perf_counter()
    described = trial_suite(suite, dataset, method, values)
    parts, _ = training.train_method(described, dataset, method, device)
    status, score = _failure(parts.outcomes), None
    if status == "ok":
        status, score = _score(suite, dataset, parts)
    return Trial(
        values=values,
        status=status,
        score=score,
        seconds=time.perf_counter() - started,
        provenance=provenance.collect(device),
    )


def _failure(outcomes: list[records.Outcome]) -> TrialStatus:
    """Find the first status of a replicate that cannot be measured."""
    for outcome in outcomes:
        if outcome.status in records.FAILED:
            return outcome.status
    return "ok"


def _score(suite: Suite, dataset: str, parts: assembly.Parts) -> tuple[TrialStatus, float | None]:
    """Measure a trained model on validation data: a status, and a score where it is ok."""
    parts.energy.eval().requires_grad_(False)
    model = parts.model("validation")
    chosen = suite.criterion_of(dataset)
    criterion = metrics.create(chosen.name, split="validation", **chosen.settings)
    result = criterion(model, parts.dataset, model.streams)
    if not result["value"].isfinite().all():
        return "not_finite", None
    # A normaliser that misses mass makes a likelihood look better than it is.
    if "converged" in result and not result["converged"].all():
        return "not_converged", None
    return "ok", float(result["value"].double().quantile(_QUANTILE))


def choose(trials: list[Trial]) -> Chosen:
    """Choose the trial of the lowest score; trials without a score lose.

    Parameters
    ----------
    trials : list of Trial
        Of one method on one dataset. Of equal scores, the first is chosen.
    """
    scored = [
        Scored(**trial.values.model_dump(), score=float(f"{trial.score:.6g}"))
        for trial in trials
        if trial.score is not None
    ]
    best, runner_up, *_ = [*sorted(scored, key=lambda one: one.score), None, None]
    failed = len(trials) - len(scored)
    edge = _edges(best, [trial.values for trial in trials]) if best else []
    return Chosen(best=best, runner_up=runner_up, trials=len(trials), failed=failed, edge=edge)


def _edges(best: Values, tried: list[Values]) -> list[str]:
    """Name what is at an end of the numbers that were tried."""
    columns = {"learning_rate": (best.learning_rate, [one.learning_rate for one in tried])}
    for name, value in best.settings.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            columns[name] = (value, [one.settings[name] for one in tried])
    ends = {name: (value, {min(all_), max(all_)}) for name, (value, all_) in columns.items()}
    return [name for name, (value, extremes) in ends.items() if value in extremes]


def gather(suite: Suite, found: list[Trials]) -> Tuned:
    """Put the outcome of all trials together.

    Parameters
    ----------
    suite : Suite
        That was tuned.
    found : list of Trials
        Of every method on every dataset that it is tuned on.
    """
    datasets = {}
    for dataset, serves in _section(suite).datasets.items():
        criterion = suite.criterion_of(dataset)
        datasets[dataset] = TunedDataset(
            criterion=criterion.name,
            settings=criterion.settings,
            serves=serves,
            methods={one.method: choose(one.trials) for one in found if one.dataset == dataset},
        )
    sources = [trial.provenance for one in found for trial in one.trials]
    return Tuned(
        suite=suite.name,
        suite_version=suite.version,
        date=max(source.date for source in sources),
        version=sorted({source.version for source in sources}),
        commit=sorted({source.commit + "+" * source.dirty for source in sources}),
        seed=seed_of(suite),
        datasets=datasets,
        **_section(suite).model_dump(exclude={"datasets"}),
    )


def write(tuned: Tuned, path: str | Path) -> None:
    """Write the file of tuned values that suites name."""
    content = yaml.safe_dump(
        tuned.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        sort_keys=False,
        default_flow_style=None,
        width=100,
    )
    head = (
        "# Written by `ebm-bench tune`, not by hand. Of equally many trials for each method, the\n"
        "# one with the lowest score on validation data is `best`. A method without one failed in\n"
        "# every trial and keeps the suite's own values.\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(head + content, encoding="utf-8")


def _digest(suite: Suite, dataset: str, method: str, values: Values) -> str:
    """Digest what the outcome of a trial depends on."""
    trained = trial_suite(suite, dataset, method, values).training_slice(dataset, method)
    scored = json.dumps(suite.criterion_of(dataset).model_dump(), sort_keys=True)
    return digest(f"{trained} {scored}", tuning_files(suite, dataset, method))


def _report(trial: Trial, label: str) -> None:
    settings = {"learning rate": trial.values.learning_rate, **trial.values.settings}
    tried = ", ".join(f"{name} {value}" for name, value in settings.items())
    outcome = trial.status if trial.score is None else f"{trial.score:.4g} nats"
    log.info("%s, %s: %s in %.1f s", label, tried, outcome, trial.seconds)
