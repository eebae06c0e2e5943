"""What the page shows of a single method: formula, settings, curves, values and commands."""

import json
import os
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ebm_bench import registry
from ebm_bench.registry.entries import Entry
from ebm_bench.report.formatting import count, number, quantity
from ebm_bench.report.learning_curves import LearningCurve
from ebm_bench.report.page.views import family_of, finite
from ebm_bench.report.results import Results
from ebm_bench.report.rows import label

_RESOLVERS = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
_ROOT = Path(__file__).parents[3]
_IDENTIFIER = re.compile(r"((?:arXiv:|doi:|https?://)\S*\w)")


def methods(results: Results, suite_path: str | Path) -> dict[str, dict[str, Any]]:
    """Describe each method of a suite.

    Parameters
    ----------
    results : Results
        Results at the end of training.
    suite_path : path
        File of the suite, for the commands that reproduce a run.

    Returns
    -------
    dict of str to dict
        Descriptions by name; ``places`` has an entry for each dataset of the method.
    """
    suite, found = results.suite, {}
    for name, spec in suite.methods.items():
        entry = registry.describe("objectives", spec.objective)
        sections = entry.sections
        found[name] = {
            "objective": spec.objective,
            "family": family_of(results, name),
            "control": spec.control,
            "summary": entry.summary,
            # Formulas stand in double backticks.
            "prose": [" ".join(part.split()) for part in sections[""].split("\n\n")[1:]],
            "references": linked(" ".join(sections.get("References", "").split())),
            "code": _file_of(entry),
            "oracles": oracles(entry),
            "places": {
                dataset: _place(results, dataset, name, suite_path)
                for dataset in suite.datasets_of(name)
            },
        }
    return found


def replicates(results: Results) -> dict[str, dict[str, dict[str, list]]]:
    """List the value of every replicate: by dataset, label of the row, and metric."""
    found: dict[str, dict[str, dict[str, list]]] = {name: {} for name in results.suite.datasets}
    columns = ["dataset", "method", "model", "metric", "replicate", "status", "value"]
    for dataset, method, model, metric, replicate, status, value in sorted(
        results.values[columns].itertuples(index=False, name=None), key=lambda v: v[4]
    ):
        row = found[dataset].setdefault(label(method, model), {})
        # How the energy ended stands beside its values; a by-product can escape by itself.
        alone = " (escaped)" if status == "escaped" and model != "energy" else ""
        row.setdefault(metric, []).append([replicate, number(value) + alone])
    return found


def linked(text: str) -> list[list[str]]:
    """Cut a text into parts with the address each leads to, empty where it leads nowhere.

    DOIs, arXiv numbers and addresses lead somewhere; the full stop after one is not part of it.
    """
    found = []
    for place, part in enumerate(_IDENTIFIER.split(text)):
        scheme, _, number = part.partition(":")
        address = f"{_RESOLVERS[scheme]}{number}" if scheme in _RESOLVERS else part
        found.append([part, address if place % 2 else ""])
    return [pair for pair in found if pair[0]]


def _file_of(entry: Entry) -> str:
    """Name the file of a class: in the repository, or where it is a plugin's, as it is called."""
    module = entry.module if entry.packaged else None
    return f"{module.replace('.', '/')}.py" if module else entry.path.name


def oracles(entry: Entry) -> list[str]:
    """Name the tests of an objective alone, and not those that all objectives have to pass.

    Parameters
    ----------
    entry : Entry
        The objective.

    Returns
    -------
    list of str
        Files in the repository; none for a plugin, or where the package is installed without them.
    """
    word = re.compile(rf"\b{entry.name}\b")
    return [file for file, text in _tests().items() if entry.packaged and word.search(text)]


@cache
def _tests() -> dict[str, str]:
    return {
        path.relative_to(_ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((_ROOT / "tests" / "objectives").glob("test_*.py"))
        if path.stem not in ("test_contract", "test_devices")
    }


def _place(results: Results, dataset: str, name: str, suite_path: str | Path) -> dict[str, Any]:
    suite, run = results.suite, results.runs.get((dataset, name))
    spec, energy = suite.methods[name], suite.energy_of(dataset, name)
    # In a locale without its letters, Python's text of a path is not valid Unicode.
    path = os.fsencode(suite_path).decode(errors="replace")
    common = f"--suite {shlex.quote(path)} --dataset {dataset} --method {name}"
    trains = registry.describe("objectives", spec.objective).trains
    rate = suite.budget_of(dataset, name).learning_rate
    settings = [
        ["energy", f"{energy.name} {plain(energy.settings)}".strip(), "suite"],
        *([["learning rate", f"{rate:g}", _origin_of_rate(results, dataset, name)]] * trains),
        *_settings(results, dataset, name),
    ]
    place = {
        "settings": settings,
        "tuned": _tuned(results, dataset, name) if trains else "",
        "command": f"ebm-bench train {common} --out my-runs\n"
        f"ebm-bench evaluate {common} --out my-runs",
    }
    if run is None:
        return place
    cost, origin = run.cost, run.provenance
    commit = origin.commit + (" with local changes" if origin.dirty else "")
    return place | {
        "cost": f"{cost.parameters} parameters, {count(int(cost.flops_per_step))} floating-point "
        f"operations a step, {cost.peak_memory_bytes / 2**20:.0f} MiB at most, "
        f"{number(cost.setup_seconds)} s to set up, {number(cost.train_seconds)} s to train",
        "outcomes": [[o.replicate, o.status.replace("_", " "), o.step]
                     for o in results.outcomes(dataset, name)],
        "curve": _curve(results.curves[dataset, name]),
        "apart": results.timed_apart(dataset, name),
        "provenance": [
            ["Trained", f"{origin.date} on {origin.device}, {origin.machine}, "
             f"{origin.threads} thread{'s' if origin.threads > 1 else ''}"],
            ["Code", f"version {origin.version}, commit {commit}, pinned versions {origin.lock}"],
            ["Python and torch", f"{origin.python}, {origin.torch}"],
            ["Seed of the suite, digest of the run", f"{run.seed}, {run.fingerprint[:12]}"],
            *([["Steps", run.steps]] if run.steps else []),
            *(["Remark", remark] for remark in run.remarks),
        ],
    }  # fmt: skip


def _settings(results: Results, dataset: str, name: str) -> list[list[str]]:
    """List settings with their values, and whether suite, tuning or default set them."""
    suite = results.suite
    own, stated = suite.settings_of(dataset, name), suite.stated_settings(dataset, name)
    entry = registry.describe("objectives", suite.methods[name].objective)
    return [
        [key, json.dumps(value), "suite" if key in stated else "tuned" if key in own else "default"]
        for key, value in entry.validate(own).items()
    ]


def _origin_of_rate(results: Results, dataset: str, name: str) -> str:
    tuned = results.suite.tuned
    chosen = tuned.chosen(dataset, name) if tuned else None
    return "tuned" if chosen and chosen.best else "suite"


def _tuned(results: Results, dataset: str, name: str) -> str:
    """Describe where settings were tuned, and by how much the best were better than the next."""
    tuned = results.suite.tuned
    found = tuned.found(dataset, name) if tuned else None
    if found is None or tuned is None:
        return "Not tuned: values of the suite, and defaults."
    where, on, chosen = found
    if chosen.best is None:
        return f"Tuned on {where}, where all {chosen.trials} trials failed: the suite's own values."
    by = quantity(on.criterion).label
    # Where only some datasets are shown, the budget of another one is not known; nor is that of the
    # suite that this one extends, or of an earlier version.
    other = ""
    if tuned.suite != results.suite.name:
        other = f" of suite {tuned.suite}"
    elif tuned.suite_version != results.suite.version:
        other = f" of version {tuned.suite_version} of the suite"
    shown = None if other else results.suite.datasets.get(where)
    steps = tuned.steps or (shown.budget.steps if shown else None)
    different = []
    if here := results.suite.datasets.get(where):
        energy = results.suite.energy_of(where, name)
        different = chosen.differences(energy, here.budget.batch_size)
    other += f" with another {' and '.join(different)}" if different else ""
    sentences = [
        f"Tuned on {where}{other}"
        f"{'' if where == dataset else ', which stands for this dataset'}: "
        f"the best of {chosen.trials} trials of {f'{steps} steps and ' if steps else ''}"
        f"{tuned.replicates} replicates by {by} of validation data ({number(chosen.best.score)}).",
    ]
    if chosen.runner_up:
        values = plain({"learning rate": chosen.runner_up.learning_rate}
                        | chosen.runner_up.settings)  # fmt: skip
        sentences.append(f"Next: {values} ({number(chosen.runner_up.score)}).")
    if chosen.edge:
        names = ", ".join(chosen.edge).replace("_", " ")
        sentences.append(f"Best at an end of what was tried: {names}.")
    if chosen.failed:
        sentences.append(f"{chosen.failed} failed.")
    return " ".join(sentences)


def _curve(curve: LearningCurve) -> dict[str, list]:
    """Lay out a learning curve for the page; a value that is missing or not finite is None."""
    return {
        "steps": curve.steps.tolist(),
        "seconds": [finite(value) for value in curve.seconds.tolist()],
        "evaluations": curve.evaluations.tolist(),
        "values": [[finite(value) for value in own] for own in curve.values.tolist()],
        "failed": np.flatnonzero(curve.failed).tolist(),
    }


def plain(settings: dict) -> str:
    """Write settings in one line."""
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
