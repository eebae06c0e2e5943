"""A plugin beside the reference: its methods are run, those of the suite are not run again.

What asks for other runs than its own (a dataset, an energy, a metric, a sampler) gets a suite
that names it, and is told what that costs.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.source import Entry
from ebm_bench.suites import suite
from ebm_bench.suites.suite import Suite
from ebm_bench.suites.tuning import Tuned
from ebm_bench.utils import yaml_files
from ebm_bench.utils.files import replacing

_CHECKOUT = Path(__file__).parents[2]
log = logging.getLogger("ebm_bench")

RUN = ("objectives", "noise")  # what makes a method of its own


@dataclass(frozen=True)
class Challenge:
    """What is to be run of a plugin.

    Attributes
    ----------
    suite : Suite
        With the plugin's methods in it.
    path : Path
        Its file.
    datasets, methods : list of str
        The plugin's methods, and the datasets on which they are run and compared.
    reference : Path
        Folder with the records of the suite's own methods.
    out : Path
        Folder of the results.
    """

    suite: Suite
    path: Path
    datasets: list[str]
    methods: list[str]
    reference: Path
    out: Path


def find_suite(given: str) -> Path:
    """Find a suite by its file, or by its name in ``benchmarks/``.

    Raises
    ------
    InputError
        Where there is none, with those that there are.
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
    """Find the records of a suite: those that were named, the reference's, or one's own.

    Raises
    ------
    InputError
        Where there are none.
    """
    places = [Path("results/reference", name), Path("results", name)]
    tried = [given] if given else [*places, _CHECKOUT / places[0]]
    for folder in tried:
        if any((folder / inner / "runs.parquet").exists() for inner in ("records", "")):
            return folder
    raise InputError(
        f"no records of suite {name} in {', '.join(map(str, tried))}: run the suite first, or name "
        "a folder of results by --reference"
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
) -> Challenge:
    """Write a suite with the plugin's methods in it.

    Parameters
    ----------
    plugin : Path
        The file.
    suite_path : Path
        Of the suite whose methods it is compared with.
    datasets : sequence of str
        Of that suite; all of them where none is named.
    settings : dict
        Of the plugin's one objective or noise.
    reference, out : Path, optional
        As in `Challenge`; found and named by the suite where not given.

    Raises
    ------
    InputError
        Where the plugin adds no method, or something does not fit.
    """
    entries = [entry for entry in registry.load(plugin) if entry.family in RUN]
    loaded = suite.load(suite_path)
    chosen = _chosen(loaded, suite_path, datasets)
    if settings and len(entries) != 1:
        raise InputError(f"--settings are of one class, and {plugin} has {len(entries)}")
    methods = dict(_method(entry, settings) for entry in entries)
    for name in methods:
        if name in loaded.methods:
            raise InputError(f"{suite_path}: has a method '{name}' already; rename the class")
    found = find_reference(loaded.name, reference)
    out = out or Path("results", plugin.stem, loaded.name)
    content = _content(suite_path, out, plugin)
    content["methods"] = {
        **content["methods"],
        **{name: {**spec, "datasets": chosen} for name, spec in methods.items()},
    }
    path = out / "suite.yaml"
    _check_and_write(content, path)
    return Challenge(suite.load(path), path, chosen, list(methods), found, out)


def run(challenge: Challenge, device: str) -> None:
    """Train and measure the plugin's methods, unite them with the reference and report.

    Raises
    ------
    InputError
        Where records disagree or cannot be written.
    """
    from ebm_bench import report
    from ebm_bench.records import collection, merging
    from ebm_bench.runs import evaluation, training

    folders = []
    for dataset in challenge.datasets:
        runs = challenge.out / "runs"
        training.train(challenge.suite, dataset, challenge.methods, runs, device)
        for method in challenge.methods:
            folder = runs / dataset / method
            evaluation.evaluate(challenge.suite, dataset, method, folder, device)
            folders.append(folder)
    log.info("making tables, figures and the page")
    own = challenge.out / "own" / "records"
    collection.collect(folders).write(own)
    merging.merge([challenge.reference, own]).write(challenge.out)
    report.build(_view(challenge), challenge.path, challenge.out)


def ranks(challenge: Challenge) -> list[str]:
    """Say where the plugin's methods stand, a line for each dataset."""
    from ebm_bench.report import loading
    from ebm_bench.report.wording import quantity

    results = loading.load(_view(challenge), challenge.out)
    lines = []
    for dataset in challenge.datasets:
        criterion = results.suite.datasets[dataset].rank_by
        competing = [row for row in results.rows(dataset) if not row.control]
        first = competing[0]
        for row in (row for row in competing if row.method in challenge.methods):
            value, leading = (results.estimate(dataset, r, criterion) for r in (row, first))
            lines.append(
                f"{dataset}: {row.label} has rank {row.place} of {len(competing)} by "
                f"{quantity(criterion).head}: {value}"
                + ("" if row is first else f"; first is {first.label}: {leading}")
                + ("" if row.status == "ok" else f"; {row.status}")
            )
    if any("≈" in line for line in lines):
        lines.append("≈: cannot be told from the best with so many replicates")
    return lines


def offer(
    plugin: Path, suite_path: Path, datasets: Sequence[str], reference: Path | None = None
) -> tuple[Path, str]:
    """Write a suite for a plugin that adds no method, and say what running it costs.

    Returns
    -------
    path : Path
        Of the suite, in the working folder.
    told : str
        What it has to run, and how long that took when the reference was made.

    Raises
    ------
    InputError
        Where the suite's file exists already.
    """
    entries = registry.load(plugin)
    loaded = suite.load(suite_path)
    chosen = _chosen(loaded, suite_path, datasets)
    path = Path(f"{plugin.stem}-{loaded.name}.yaml")
    if path.exists():
        raise InputError(f"{path}: exists already; run it, or remove it to have it written anew")
    content = _content(suite_path, Path("."), plugin)
    content["datasets"] = {name: content["datasets"][name] for name in chosen}
    for key in ("tuned", "tuning"):
        content.pop(key, None)
    trained = False
    for entry in entries:
        trained |= _adopt(content, entry, chosen[0])
    if trained:
        content["name"] = re.sub(r"[^a-z0-9]+", "-", f"{loaded.name}-{plugin.stem}".lower())
    content["methods"] = _fitting(content, path)
    if loaded.tuned and not trained:  # what was trained with these values is used
        content["tuned"] = _of_datasets(loaded.tuned, chosen)
    _check_and_write(content, path)
    made = suite.load(path)
    runs = sum(len(made.methods_of(name)) for name in made.datasets)
    if not trained:
        return path, (
            f"all {runs} trained models have to be measured again; those in results/{loaded.name} "
            "are used where they are there, and trained first where not. Tables and page there "
            f"become those of this suite; `make run SUITE={suite_path}` makes the others again"
        )
    return path, (
        f"all {len(made.methods)} methods have to be trained with it: {runs} runs"
        f"{_cost(made, loaded, chosen, reference)}"
    )


def _of_datasets(tuned: Tuned, datasets: Sequence[str]) -> dict[str, Any]:
    """Keep the tuned values of some datasets."""
    content = tuned.model_dump(mode="json", exclude_none=True)
    kept = {}
    for first, spec in content["datasets"].items():
        served = [name for name in (first, *spec.get("serves", ())) if name in datasets]
        if served:
            kept[served[0]] = {**spec, "serves": served[1:]}
    return {**content, "datasets": kept}


def _chosen(loaded: Suite, path: Path, datasets: Sequence[str]) -> list[str]:
    for name in datasets:
        if name not in loaded.datasets:
            raise InputError(f"{path}: {unknown('dataset of this suite', name, loaded.datasets)}")
    return list(dict.fromkeys(datasets or loaded.datasets))


def _method(entry: Entry, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and describe the method that an objective or a noise makes."""
    entry.validate(settings)
    values = "-".join(str(value) for value in settings.values())
    name = re.sub(r"[^A-Za-z0-9._-]", "", f"{entry.name}-{values}".rstrip("-"))
    if entry.family == "objectives":
        return name, {"objective": entry.name, "settings": dict(settings)}
    given = {"noise": entry.name, **({"noise_settings": dict(settings)} if settings else {})}
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


class _Plain(yaml.SafeDumper):
    """Writes what stands twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Give no anchors."""
        return True


def _check_and_write(content: dict[str, Any], path: Path) -> None:
    """Write a suite once it is known to be valid."""
    checked = {key: value for key, value in content.items() if key != "tuned"}
    suite.check(checked, str(path))
    with replacing(path) as temporary:
        temporary.write_text(yaml.dump(content, Dumper=_Plain, sort_keys=False, width=100))


def _view(challenge: Challenge) -> Suite:
    """Show the datasets alone on which the plugin was run."""
    every = challenge.suite.datasets
    return challenge.suite.model_copy(
        update={"datasets": {name: every[name] for name in challenge.datasets}}
    )


def _adopt(content: dict[str, Any], entry: Entry, model: str) -> bool:
    """Put a class into a suite; returns whether its methods have to be trained for it."""
    datasets = content["datasets"]
    if entry.family == "datasets":
        spec = datasets.pop(model, None) or next(iter(datasets.values()))
        offered = {*entry.knows, "learned_log_z"}
        metrics = {
            name: settings
            for name, settings in spec["metrics"].items()
            if {*registry.describe("metrics", name).requires} <= offered
        }
        metrics = metrics or {"hyvarinen_score": {}}
        rank, curve = (
            spec[key] if spec[key] in metrics else next(iter(metrics))
            for key in ("rank_by", "curve")
        )
        content["datasets"] = {
            entry.name: {**spec, "settings": {}, "metrics": metrics, "rank_by": rank,
                         "curve": curve}
        }  # fmt: skip
        return True
    for spec in datasets.values():
        if entry.family == "energies":
            spec["energy"] = {"name": entry.name}
        elif entry.family == "samplers":
            spec["sampler"] = {"name": entry.name}
        elif entry.family == "metrics":
            spec["metrics"] = {**spec["metrics"], entry.name: {}}
    return entry.family == "energies"


def _fitting(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Keep of the methods what runs on the datasets that are left.

    Raises
    ------
    InputError
        Where none does, with why the last does not.
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
    """Say how long the methods took on the datasets on which the new suite is modelled."""
    from ebm_bench.records import collection

    try:
        folder = find_reference(loaded.name, reference)
        inner = folder / "records"
        runs = collection.load(inner if inner.exists() else folder).runs
    except InputError:
        return ""
    models = chosen[: len(made.datasets)]
    spent = runs[runs["dataset"].isin(models) & runs["method"].isin(list(made.methods))]
    seconds = float((spent["setup_seconds"] + spent["train_seconds"]).sum())
    return (
        f". On {', '.join(models)} training took the reference {seconds / 60:.1f} minutes of one "
        "core; measuring comes on top"
    )
