"""What defines a run: in these facts two records of it agree, and a record and its suite."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records.schema import Run
from ebm_bench.suites.base import Named
from ebm_bench.suites.compatibility import check_named, check_objective
from ebm_bench.suites.specs import DatasetSpec
from ebm_bench.suites.suite import Suite
from ebm_bench.utils import yaml_files

SUITE = "suite.yaml"  # next to tables of records, with included files merged in
TRAINING = ("objective", "settings", "energy", "budget", "seed")  # what it depends on
FACTS = (*TRAINING, "control")
SHOWN = 10  # most differences in one message


def of_run(run: Run) -> dict[str, Any]:
    """Read what defines a run, with normalised settings: earlier versions wrote them as given."""
    return _normal(run.model_dump(include=set(FACTS)))


def of_suite(suite: Suite, dataset: str, method: str) -> dict[str, Any]:
    """Read what defines a run from its suite."""
    spec = suite.methods[method]
    return _normal(
        {
            "objective": spec.objective,
            "settings": suite.settings_of(dataset, method),
            "energy": suite.energy_of(dataset, method).model_dump(),
            "budget": suite.budget_of(dataset, method).model_dump(),
            "seed": suite.seed,
            "control": spec.control,
        }
    )


def differences(suite: Suite, run: Run, of: Iterable[str] = FACTS) -> list[str]:
    """Describe how a record differs from the run that a suite describes, by some of the facts."""
    versions = {
        "suite": (run.suite, suite.name),
        "version of the suite": (run.suite_version, suite.version),
        f"version of {run.dataset}": (
            run.dataset_version,
            registry.describe("datasets", run.dataset).version,
        ),
        "replicates": (len(run.outcomes), suite.datasets[run.dataset].replicates),
    }
    if run.curve:
        versions["metric of the curve"] = run.curve[0].metric, suite.datasets[run.dataset].curve
    recorded, described = of_run(run), of_suite(suite, run.dataset, run.method)
    facts = {key: (recorded[key], described[key]) for key in of}
    return [
        f"{key} is {one} in the record and {other} in the suite"
        for key, one, other in [*_apart(versions), *_apart(facts)]
    ]


def of_data(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what the suite beside some records says of data and measurements, by dataset.

    Returns
    -------
    dict of str to dict
        See `of_dataset`; empty where no suite is kept.
    """
    path = folder / SUITE
    content = yaml_files.read(path) if path.exists() else None
    described = content.get("datasets") if isinstance(content, dict) else None
    found = {}
    for name, given in described.items() if isinstance(described, dict) else ():
        try:
            spec = yaml_files.validate(DatasetSpec, given, f"{path}: datasets.{name}")
        except InputError as error:
            raise InputError(f"{error}\n`ebm-bench collect` writes the file") from None
        found[name] = of_dataset(name, spec)
    return found


def of_dataset(name: str, spec: DatasetSpec) -> dict[str, Any]:
    """Tell how data are made and models measured; paths are left out, as data may move."""
    metrics = {metric: _whole("metrics", metric, given) for metric, given in spec.metrics.items()}
    return {
        "settings": _whole("datasets", name, spec.settings),
        "sampler": [
            spec.sampler.name,
            _whole("samplers", spec.sampler.name, spec.sampler.settings),
        ],
        "metrics": metrics,
    }


def apart(one: Mapping[str, dict[str, Any]], other: Mapping[str, dict[str, Any]]) -> list[str]:
    """Describe how data and measurements differ, for datasets and metrics that both have."""
    found = []
    for name in [name for name in one if name in other]:
        ours, theirs = dict(one[name]), dict(other[name])
        both = [metric for metric in ours["metrics"] if metric in theirs["metrics"]]
        ours["metrics"], theirs["metrics"] = (
            {metric: each["metrics"][metric] for metric in both} for each in (ours, theirs)
        )
        found += [f"{key} is {x} and {y}" for key, x, y in _apart({name: (ours, theirs)})]
    return found


def refuse_others(suite: Suite, runs: Iterable[Run], values: pd.DataFrame, folder: Path) -> None:
    """Refuse records of runs and measurements that a suite does not describe.

    Parameters
    ----------
    suite : Suite
        Suite as it is now.
    runs : iterable of Run
        Records of its runs.
    values : DataFrame
        Table of what was measured.
    folder : Path
        Folder of the records.

    Raises
    ------
    InputError
        Names the runs, and what differs.
    """
    found = [
        f"{run.dataset} {run.method}: {difference}"
        for run in runs
        for difference in differences(suite, run)
    ]
    described = {name: of_dataset(name, spec) for name, spec in suite.datasets.items()}
    found += [f"{told} in the suite" for told in apart(of_data(folder), described)]
    shown = {metric for spec in suite.datasets.values() for metric in spec.metrics}
    measured = values[["metric", "metric_version"]].drop_duplicates()
    for metric, version in measured.itertuples(index=False, name=None):
        if metric in shown and version != (now := registry.describe("metrics", metric).version):
            found.append(f"version of {metric} is {version} in the records and {now} now")
    if found:
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise InputError(
            "\n".join(
                [
                    f"{folder}: not the records of suite {suite.name} as it is now. Run the "
                    "workflow, or `ebm-bench collect`, which leaves such runs out",
                    *found[:SHOWN],
                    *more,
                ]
            )
        )


def _whole(family: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in defaults, and leave paths out; nothing is known of a plugin that is not loaded."""
    if name not in registry.entries(family):
        return {}
    with suppress(InputError):
        entry = registry.describe(family, name)
        return {k: v for k, v in entry.validate(settings).items() if k not in entry.files}
    return dict(settings)


def _normal(facts: dict[str, Any]) -> dict[str, Any]:
    with suppress(ValueError, InputError):  # the plugin that has them need not be loaded
        settings = dict(facts["settings"])
        check_objective("settings", facts["objective"], settings)
        energy = Named.model_validate(facts["energy"])
        check_named("energy", "energies", energy.name, energy.settings)
        facts = {**facts, "settings": settings, "energy": energy.model_dump()}
    return facts


def _apart(pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Find what differs, down to the keys of dictionaries."""
    for key, (one, other) in pairs.items():
        if isinstance(one, dict) and isinstance(other, dict):
            below = {
                f"{key}.{name}": (one.get(name), other.get(name))
                for name in dict.fromkeys([*other, *one])
            }
            yield from _apart(below)
        elif one != other:
            yield key, one, other
