"""What defines a run: in these facts two records of it agree, and a record and its suite."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records.schema import Run
from ebm_bench.suites.base import Named
from ebm_bench.suites.compatibility import check_named, check_objective
from ebm_bench.suites.suite import Suite

FACTS = ("objective", "settings", "energy", "budget", "seed", "control")
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


def differences(suite: Suite, run: Run) -> list[str]:
    """Describe how a record differs from the run that a suite describes."""
    versions = {
        "suite": (run.suite, suite.name),
        "version of the suite": (run.suite_version, suite.version),
        f"version of {run.dataset}": (
            run.dataset_version,
            registry.describe("datasets", run.dataset).version,
        ),
        "replicates": (len(run.outcomes), suite.datasets[run.dataset].replicates),
    }
    recorded, described = of_run(run), of_suite(suite, run.dataset, run.method)
    # Whether a method is a control, the suite alone decides: nothing is trained otherwise.
    facts = {key: (recorded[key], described[key]) for key in FACTS if key != "control"}
    return [
        f"{key} is {one} in the record and {other} in the suite"
        for key, one, other in [*_apart(versions), *_apart(facts)]
    ]


def refuse_others(suite: Suite, runs: Iterable[Run], place: object) -> None:
    """Refuse records of runs that a suite does not describe.

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
    if found:
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise InputError(
            "\n".join(
                [
                    f"{place}: not the records of suite {suite.name} as it is now. Run the "
                    "workflow, or `ebm-bench collect`, which leaves such runs out",
                    *found[:SHOWN],
                    *more,
                ]
            )
        )


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
