"""Ranking of a plugin against the reference records of a suite.

Only the plugin's own methods are run. A dataset, energy, metric or sampler, which changes the
runs of other methods too, gets a suite that names it, with an estimate of its cost.
"""

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ebm_bench import registry
from ebm_bench.errors import InputError, choose, unknown
from ebm_bench.registry import DatasetEntry, Entry
from ebm_bench.registry.entries import LEARNED
from ebm_bench.suites import suite
from ebm_bench.suites.suite import Suite
from ebm_bench.suites.tuning import Tuned
from ebm_bench.utils import yaml_files
from ebm_bench.utils.files import replacing

_CHECKOUT = Path(__file__).parents[2]
log = logging.getLogger("ebm_bench")

RUN = ("objectives", "noise")  # families whose classes make methods


@dataclass(frozen=True)
class Comparison:
    """Methods of a plugin, and the records they are compared with.

    Attributes
    ----------
    suite : Suite
        Suite with the plugin's methods added, with those of its own that have records, on the
        datasets of the comparison.
    path : Path
        File of that suite, with all datasets.
    methods : list of str
        The plugin's methods.
    reference : Path
        Folder with the tables of the suite's own methods.
    out : Path
        Results folder.
    """

    suite: Suite
    path: Path
    methods: list[str]
    reference: Path
    out: Path


def find_suite(given: str) -> Path:
    """Find a suite by its file, or by its name in ``benchmarks/``.

    Raises
    ------
    InputError
        If there is none; lists those that exist.
    """
    if given.endswith((".yaml", ".yml")):
        return Path(given)
    folders = [Path("benchmarks"), _CHECKOUT / "benchmarks"]
    for folder in folders:
        if (folder / f"{given}.yaml").exists():
            return folder / f"{given}.yaml"
    there = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    raise unknown("suite", given, there - {"stress", "estimation"})


def find_reference(name: str, given: Path | None) -> Path:
    """Find the tables of a suite: those given, the reference records, or the user's own.

    Raises
    ------
    InputError
        If there are none.
    """
    places = [Path("results/reference", name), Path("results", name)]
    tried = [given] if given else [*places, _CHECKOUT / places[0]]
    for folder in tried:
        for tables in (folder / "records", folder):
            if (tables / "runs.parquet").exists():
                return tables
    raise InputError(
        f"no records of suite {name} in {', '.join(map(str, tried))}: run the suite first, or pass "
        "a results folder with --reference"
    )


def read_settings(given: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` as YAML does."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--settings {text}: write key=value, such as sigma=0.1")
        try:
            found[key] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise InputError(f"--settings {text}: '{value}' is not a value in YAML") from None
    return found


def prepare(
    plugin: Path,
    suite_path: Path,
    datasets: Sequence[str],
    settings: Mapping[str, Any],
    reference: Path | None = None,
    out: Path | None = None,
) -> Comparison:
    """Write a suite with the plugin's methods added.

    Parameters
    ----------
    plugin : Path
        File of the plugin.
    suite_path : Path
        File of the suite to compare with.
    datasets : sequence of str
        Datasets of that suite; all of them if empty.
    settings : dict
        Settings of the plugin's one objective or noise.
    reference, out : Path, optional
        As in `Comparison`; by default derived from the name of the suite.

    Raises
    ------
    InputError
        If the suite, a dataset, a setting or the name of a method is not valid.
    """
    entries = [entry for entry in registry.load(plugin) if entry.family in RUN]
    loaded = suite.load(suite_path)
    chosen = choose("dataset of this suite", datasets, loaded.datasets, suite_path)
    if settings and len(entries) != 1:
        raise InputError(f"--settings apply to one class, and {plugin} has {len(entries)}")
    methods = dict(_method(entry, settings) for entry in entries)
    for name in methods:
        if name in loaded.methods:
            raise InputError(f"{suite_path}: already has a method '{name}'; rename the class")
    if plugin.name in (Path(name).name for name in loaded.plugins):
        raise InputError(f"{plugin}: {suite_path} has a plugin of this file name; rename one")
    from ebm_bench.records import collection

    found = find_reference(loaded.name, reference)
    there = {*methods, *collection.load(found).runs["method"]}
    out = out or Path("results", plugin.stem, loaded.name)
    content = _content(suite_path, out, plugin)
    content["methods"] |= {name: {**spec, "datasets": chosen} for name, spec in methods.items()}
    path = out / "suite.yaml"
    added = _write(content, path)
    kept = {name: spec for name, spec in added.methods.items() if name in there}
    shown = added.model_copy(
        update={"datasets": {name: added.datasets[name] for name in chosen}, "methods": kept}
    )
    return Comparison(shown, path, list(methods), found, out)


def run(comparison: Comparison, device: str) -> None:
    """Train and measure the plugin's methods, merge them with the reference and report.

    Finished runs are not repeated.

    Raises
    ------
    InputError
        If records disagree or cannot be written.
    """
    from ebm_bench import report
    from ebm_bench.records import collection, merging
    from ebm_bench.runs.tasks import RunTask

    runs = [
        RunTask(comparison.suite, dataset, method, comparison.out / "runs", device=device)
        for dataset in comparison.suite.datasets
        for method in comparison.methods
    ]
    for run in runs:
        run()
    log.info("making tables, figures and the page")
    own = comparison.out / "own" / "records"
    collection.collect([run.folder for run in runs], suite=comparison.suite).write(own)
    collection.keep_suite(comparison.suite, comparison.path, own)  # for merging to compare
    merging.merge([comparison.reference, own]).write(comparison.out)
    report.build(comparison.suite, comparison.path, comparison.out)


def ranks(comparison: Comparison) -> list[str]:
    """Report the ranks of the plugin's methods, one line per dataset."""
    from ebm_bench.report import loading
    from ebm_bench.report.formatting import quantity

    results = loading.load(comparison.suite, comparison.out)
    lines = []
    for dataset, spec in comparison.suite.datasets.items():
        criterion = spec.rank_by
        competing = [row for row in results.rows(dataset) if not row.control]
        first = competing[0]
        for row in (row for row in competing if row.method in comparison.methods):
            value, leading = (results.estimate(dataset, r, criterion) for r in (row, first))
            lines.append(
                f"{dataset}: {row.label} has rank {row.place} of {len(competing)} by "
                f"{quantity(criterion).head}: {value}"
                + ("" if row is first else f"; first is {first.label}: {leading}")
                + ("" if row.status == "ok" else f"; {row.status}")
            )
    if any("≈" in line for line in lines):
        lines.append("≈: not significantly different from the best with this number of replicates")
    return lines


def offer(
    plugin: Path, suite_path: Path, datasets: Sequence[str], reference: Path | None = None
) -> tuple[Path, str]:
    """Write a suite for a plugin that adds no method, and estimate its cost.

    Returns
    -------
    path : Path
        File of the suite, in the working folder.
    cost : str
        Number of runs, and their training time in the reference records.

    Raises
    ------
    InputError
        If the suite's file exists already.
    """
    entries = registry.load(plugin)
    loaded = suite.load(suite_path)
    chosen = choose("dataset of this suite", datasets, loaded.datasets, suite_path)
    path = Path(f"{plugin.stem}-{loaded.name}.yaml")
    if path.exists():
        raise InputError(f"{path}: already exists; run it, or remove it to write it again")
    content = _content(suite_path, Path("."), plugin)
    content["datasets"] = {name: content["datasets"][name] for name in chosen}
    for key in ("tuned", "tuning"):
        content.pop(key, None)
    own = [entry for entry in entries if isinstance(entry, DatasetEntry)]
    if own:
        model = content["datasets"][chosen[0]]
        content["datasets"] = {entry.name: _like(model, entry) for entry in own}
    for entry in entries:
        _adopt(content["datasets"], entry)
    # Otherwise trained models are there, to be measured again.
    trained = bool(own) or any(entry.family == "energies" for entry in entries)
    if trained:
        content["name"] = re.sub(r"[^a-z0-9]+", "-", f"{loaded.name}-{plugin.stem}".lower())
    content["methods"] = _fitting(content, path)
    if loaded.tuned and not trained:  # what was trained with these values is used
        content["tuned"] = _of_datasets(loaded.tuned, chosen)
    made = _write(content, path)
    runs = sum(len(made.methods_of(name)) for name in made.datasets)
    cost = (
        f"all {len(made.methods)} methods must be trained with it: {runs} runs"
        f"{_cost(made, loaded, chosen, reference)}"
    )
    if not trained:
        cost = (
            f"all {runs} trained models must be measured again; those in results/{loaded.name} "
            "are reused, and missing ones are trained first. Its tables and page will be those of "
            f"the new suite; `make run SUITE={suite_path}` restores the others"
        )
    return path, cost


def _of_datasets(tuned: Tuned, datasets: Sequence[str]) -> dict[str, Any]:
    """Keep the tuned values of some datasets."""
    content = tuned.model_dump(mode="json", exclude_none=True)
    kept = {}
    for first, spec in content["datasets"].items():
        served = [name for name in (first, *spec.get("serves", ())) if name in datasets]
        if served:
            kept[served[0]] = {**spec, "serves": served[1:]}
    return {**content, "datasets": kept}


def _method(entry: Entry, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make the name and the specification of the method of an objective or a noise."""
    settings = entry.normalise(settings)
    values = "-".join(str(value).removesuffix(".0") for value in settings.values())
    name = re.sub(r"[^A-Za-z0-9._-]", "", f"{entry.name}-{values}".rstrip("-"))
    if entry.family == "objectives":
        return name, {"objective": entry.name, "settings": settings}
    given = {"noise": entry.name, **({"noise_settings": settings} if settings else {})}
    return f"nce-{name}", {"objective": "noise_contrastive", "settings": given}


def _content(path: Path, folder: Path, plugin: Path) -> dict[str, Any]:
    """Read a suite for a file in another folder, with a plugin added."""
    content = yaml_files.read(path)
    places = [path.parent / name for name in content.get("plugins", [])]
    files = dict.fromkeys(file.resolve() for file in (*places, plugin))
    content["plugins"] = [os.path.relpath(file, folder.resolve()) for file in files]
    if isinstance(content.get("tuned"), str):
        tuned = (path.parent / content["tuned"]).resolve()
        content["tuned"] = os.path.relpath(tuned, folder.resolve())
    return content


def _write(content: dict[str, Any], path: Path) -> Suite:
    """Write a suite once it is known to be valid, and load it."""
    checked = {key: value for key, value in content.items() if key != "tuned"}
    suite.check(checked, str(path))
    plain = json.loads(json.dumps(content))  # without shared parts, which YAML would write once
    with replacing(path) as temporary:
        text = yaml.safe_dump(plain, sort_keys=False, width=100)
        temporary.write_text(text, encoding="utf-8")
    return suite.load(path)


def _like(spec: dict[str, Any], entry: DatasetEntry) -> dict[str, Any]:
    """Describe a dataset like another one, with the metrics that it allows."""
    offered = {*entry.knows, *LEARNED}
    metrics = {
        name: settings
        for name, settings in spec["metrics"].items()
        if {*registry.describe("metrics", name).requires} <= offered
    }
    metrics = metrics or {"hyvarinen_score": {}}
    rank, curve = (
        spec[key] if spec[key] in metrics else next(iter(metrics)) for key in ("rank_by", "curve")
    )
    return {**spec, "settings": {}, "metrics": metrics, "rank_by": rank, "curve": curve}


def _adopt(datasets: dict[str, dict[str, Any]], entry: Entry) -> None:
    """Put a class that is no dataset into the datasets of a suite."""
    for spec in datasets.values():
        if entry.family == "energies":
            spec["energy"] = {"name": entry.name}
        elif entry.family == "samplers":
            spec["sampler"] = {"name": entry.name}
        elif entry.family == "metrics":
            spec["metrics"] = {**spec["metrics"], entry.name: {}}


def _fitting(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Keep the methods that fit the remaining datasets.

    Raises
    ------
    InputError
        If none fits; states why the last does not.
    """
    kept, refused = {}, None
    for name, spec in content["methods"].items():
        spec = {**spec}
        for key in ("datasets", "overrides"):
            given = spec.get(key)
            if isinstance(given, list):
                spec[key] = [d for d in given if d in content["datasets"]]
            elif given:
                spec[key] = {d: s for d, s in given.items() if d in content["datasets"]}
        if spec.get("datasets") == []:
            continue
        try:
            suite.check({**content, "methods": {name: spec}}, str(path))
        except InputError as error:
            refused = error
        else:
            kept[name] = spec
    if refused and not kept:
        raise refused
    return kept


def _cost(made: Suite, loaded: Suite, chosen: list[str], reference: Path | None) -> str:
    """Report how long training took on the datasets that the new suite is modelled on."""
    from ebm_bench.records import collection

    try:
        runs = collection.load(find_reference(loaded.name, reference)).runs
    except InputError:
        return ""
    models = chosen[: len(made.datasets)]
    spent = runs[runs["dataset"].isin(models) & runs["method"].isin(list(made.methods))]
    seconds = float((spent["setup_seconds"] + spent["train_seconds"]).sum())
    return (
        f". In the reference records, training on {', '.join(models)} took {seconds / 60:.1f} "
        "minutes of one core; measuring comes on top"
    )
