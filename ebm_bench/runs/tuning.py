"""Tuning: the same number of trials for every method, and the file of what came out."""

import json
import logging
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel
from torch import Tensor

from ebm_bench import metrics, records, registry
from ebm_bench.errors import InputError
from ebm_bench.records import provenance
from ebm_bench.records.fingerprint import digest, tuning_files
from ebm_bench.runs import assembly, cost, training
from ebm_bench.runs.compilation import REPLICATE_STEPS
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
from ebm_bench.utils import devices, leases
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
        Its share of the training and measuring of a round: processor time on a CPU.
    """

    values: Values
    status: TrialStatus
    score: float | None
    seconds: float
    provenance: records.Provenance


class Trials(BaseModel):
    """Trials of a method on a dataset: all, or those of a round."""

    dataset: str
    method: str
    trials: list[Trial]


def tune(
    suite: Suite,
    dataset: str,
    method: str,
    out: str | Path,
    device: str = "cpu",
    expected: str | None = None,
) -> Trials:
    """Run all trials of a method on a dataset.

    Writes ``out/dataset/method.json``, and the trials of each round to ``out/.trials`` when it has
    ended: rounds that are there are not repeated, and of several processes one runs them.

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
    expected : str, optional
        What `digest_of` gave with the code that this process has imported.

    Raises
    ------
    InputError
        If code was edited since then.
    """
    if expected is not None and digest_of(suite, dataset, method) != expected:
        raise InputError(f"{dataset} {method}: code was edited meanwhile; start again")
    if not is_tuned(suite, dataset, method, out):
        # Jobs outlive a workflow that was killed, and another may have been started.
        with leases.hold(Path(out, dataset, f".{method}.lease"), f"{dataset} {method}"):
            _run_rounds(suite, dataset, method, out, device)
    found, *_ = _replay(suite, dataset, method, out)
    whole = Trials(dataset=dataset, method=method, trials=found)
    records.write(whole, Path(out, dataset, f"{method}.json"))
    return whole


def _run_rounds(suite: Suite, dataset: str, method: str, out: str | Path, device: str) -> None:
    """Run the rounds that remain by now."""
    found, values, path = _replay(suite, dataset, method, out)
    while values:
        with devices.acquire(device) as claimed, chdir("."):  # which a plugin may change
            trials = run_round(suite, dataset, method, values, claimed)
        records.write(Trials(dataset=dataset, method=method, trials=trials), path)
        found, values, path = _replay(suite, dataset, method, out)
        for number, trial in enumerate(trials, len(found) - len(trials) + 1):
            _report(trial, f"{dataset} {method}: trial {number} of {_section(suite).trials}")


def is_tuned(suite: Suite, dataset: str, method: str, out: str | Path) -> bool:
    """Whether `tune` has no trial left to run."""
    return not _replay(suite, dataset, method, out)[1]


def digest_of(suite: Suite, dataset: str, method: str) -> str:
    """Digest what the trials of a method depend on, beside the values that are tried."""
    trained = trial_suite(suite, dataset, method, {}).training_slice(dataset, method)
    scored = json.dumps(suite.criterion_of(dataset).model_dump(), sort_keys=True)
    return digest(f"{trained} {scored}", tuning_files(suite, dataset, method))


def _replay(
    suite: Suite, dataset: str, method: str, out: str | Path
) -> tuple[list[Trial], list[Values], Path]:
    """Follow the search as far as it has got: its trials, and values and file of the next round."""
    search, found = suite.search_of(dataset, method), list[Trial]()
    assert search is not None  # the command leaves out what trains nothing
    same = digest_of(suite, dataset, method)
    while True:
        values = search.next_round()
        tried = json.dumps([one.model_dump() for one in values], sort_keys=True)
        path = Path(out, ".trials", f"{digest(f'{same} {tried}', [])}.json")
        read = records.read_whole(Trials, path)
        trials = read.trials if read else []
        if not values or len(trials) != len(values):
            return found, values, path
        search.add([trial.score for trial in trials])
        found += trials


def trial_suite(
    suite: Suite, dataset: str, method: str, settings: dict[str, Any], trials: int = 1
) -> Suite:
    """Describe trials as a suite of one run, with random numbers of its own.

    Parameters
    ----------
    suite, dataset, method
        As for `tune`, for one method.
    settings : dict
        To be tried; the learning rates are told to the training.
    trials : int
        Trials that are trained side by side, each with the time of a run.
    """
    data, tuning = suite.datasets[dataset], _section(suite)
    budget = data.budget.model_copy(
        update={
            "steps": tuning.steps or data.budget.steps,
            "seconds": data.budget.seconds * trials,
        }
    )
    # The rounds of all datasets find in the compiler's cache what was compiled for one of them.
    spent = budget.steps * tuning.replicates * tuning.trials
    compiles = data.compute == "auto" and spent >= REPLICATE_STEPS
    data = data.model_copy(
        update={
            "budget": budget,
            "compute": "compiled" if compiles else data.compute,
            "replicates": tuning.replicates,
            "metrics": {},
            "curve": TRIAL_CURVE,
            "curve_points": 2,
        }
    )
    settings = {**settings, **suite.stated_settings(dataset, method)}
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


def run_round(
    suite: Suite, dataset: str, method: str, values: list[Values], device: str
) -> list[Trial]:
    """Train with several learning rates side by side, and score each by the suite's criterion.

    Parameters
    ----------
    suite, dataset, method
        As for `tune`.
    values : list of Values
        Learning rates, with the same settings.
    device : str
        As torch calls it.
    """
    started = cost.seconds(device)
    described = trial_suite(suite, dataset, method, values[0].settings, len(values))
    rates = [one.learning_rate for one in values]
    parts, _ = training.train_method(described, dataset, method, device, rates=rates)
    if len(values) > 1 and any(o.status == "out_of_memory" for o in parts.outcomes):
        # Side by side they need more memory than a run of the suite may.
        return [run_round(suite, dataset, method, [one], device)[0] for one in values]
    scores = _scores(suite, dataset, parts, len(values))
    seconds = (cost.seconds(device) - started) / len(values)
    return [
        Trial(
            values=one,
            status=status,
            score=score,
            seconds=seconds,
            provenance=provenance.collect(device),
        )
        for one, (status, score) in zip(values, scores, strict=True)
    ]


def _scores(
    suite: Suite, dataset: str, parts: assembly.Parts, trials: int
) -> list[tuple[TrialStatus, float | None]]:
    """Measure trained models on validation data: a status each, and a score where it is ok."""
    each = len(parts.outcomes) // trials
    failed = [_failure(parts.outcomes[at : at + each]) for at in range(0, trials * each, each)]
    if "ok" not in failed:
        return [(status, None) for status in failed]
    parts.energy.eval().requires_grad_(False)
    model = parts.model("validation")
    chosen = suite.criterion_of(dataset)
    criterion = metrics.create(chosen.name, split="validation", **chosen.settings)
    result = criterion(model, parts.dataset, model.streams)
    values = result["value"].double().view(trials, each)
    # A normaliser that misses mass makes a likelihood look better than it is.
    converged = result.get("converged", torch.ones_like(values)).view(trials, each)
    return [
        _score(status, *of_trial)
        for status, *of_trial in zip(failed, values, converged, strict=True)
    ]


def _score(
    status: TrialStatus, values: Tensor, converged: Tensor
) -> tuple[TrialStatus, float | None]:
    """Score a trial by the values of its replicates."""
    if status == "ok" and not values.isfinite().all():
        status = "not_finite"
    elif status == "ok" and not converged.all():
        status = "not_converged"
    return status, float(values.quantile(_QUANTILE)) if status == "ok" else None


def _failure(outcomes: list[records.Outcome]) -> TrialStatus:
    """Find the first status of a replicate that cannot be measured."""
    for outcome in outcomes:
        if outcome.status in records.FAILED:
            return outcome.status
    return "ok"


def choose(trials: list[Trial], objective: str) -> Chosen:
    """Choose the trial of the lowest score; trials without a score lose.

    Parameters
    ----------
    trials : list of Trial
        Of one method on one dataset. Of equal scores, the first is chosen.
    objective : str
        That was tried, which knows the values that its settings can have.
    """
    scored = [
        Scored(**trial.values.model_dump(), score=float(f"{trial.score:.6g}"))
        for trial in trials
        if trial.score is not None
    ]
    best, runner_up, *_ = [*sorted(scored, key=lambda one: one.score), None, None]
    failed = len(trials) - len(scored)
    edge = _edges(best, [trial.values for trial in trials], objective) if best else []
    return Chosen(best=best, runner_up=runner_up, trials=len(trials), failed=failed, edge=edge)


def _edges(best: Values, tried: list[Values], objective: str) -> list[str]:
    """Name what is at an end of the numbers that were tried, and could go on beyond it."""
    rates = [one.learning_rate for one in tried if one.settings == best.settings]
    edges = ["learning_rate"] if _beyond(best.learning_rate, rates) else []
    entry = registry.describe("objectives", objective)
    for name, value in best.settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        beyond = _beyond(value, [one.settings[name] for one in tried])
        with suppress(InputError):  # where there is nothing beyond
            if beyond is not None and entry.validate({name: beyond}):
                edges.append(name)
    return edges


def _beyond(value: float, tried: list[float]) -> float | None:
    """Find the number that continues those tried, if a value is at their end."""
    different = sorted(set(tried))
    if len(different) < 2 or value not in (different[0], different[-1]):
        return None
    if isinstance(value, int):
        return value - 1 if value == different[0] else value + 1
    neighbour = different[1] if value == different[0] else different[-2]
    return value * value / neighbour if value * neighbour > 0 else 2 * value - neighbour


def gather(suite: Suite, found: list[Trials]) -> Tuned:
    """Put the outcome of all trials together.

    Parameters
    ----------
    suite : Suite
        That was tuned.
    found : list of Trials
        Of methods on every dataset that they are tuned on.
    """
    datasets = {}
    for dataset, serves in suite.tuned_on.items():
        criterion = suite.criterion_of(dataset)
        datasets[dataset] = TunedDataset(
            criterion=criterion.name,
            settings=criterion.settings,
            serves=serves,
            methods={one.method: _outcome(suite, one) for one in found if one.dataset == dataset},
        )
    sources = [trial.provenance for one in found for trial in one.trials]
    return Tuned(
        suite=suite.name,
        suite_version=suite.version,
        date=max((source.date for source in sources), default=""),
        version=sorted({source.version for source in sources}),
        commit=sorted({source.commit + "+" * source.dirty for source in sources}),
        seed=seed_of(suite),
        datasets=datasets,
        **_section(suite).model_dump(exclude={"datasets"}),
    )


def _outcome(suite: Suite, found: Trials) -> Chosen:
    """Choose among the trials of a method, and state what they were made with."""
    chosen = choose(found.trials, suite.methods[found.method].objective)
    about = {
        "energy": suite.energy_of(found.dataset, found.method),
        "batch_size": suite.datasets[found.dataset].budget.batch_size,
    }
    return chosen.model_copy(update=about)


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


def _report(trial: Trial, label: str) -> None:
    settings = {"learning rate": trial.values.learning_rate, **trial.values.settings}
    tried = ", ".join(f"{name} {value}" for name, value in settings.items())
    outcome = trial.status if trial.score is None else f"{trial.score:.4g} nats"
    log.info("%s, %s: %s in %.1f s", label, tried, outcome, trial.seconds)
