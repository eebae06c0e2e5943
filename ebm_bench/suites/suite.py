"""Leaderboards: datasets × methods, read from YAML and validated.

Nothing here imports torch: the workflow reads suites each time it starts.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.suites import base
from ebm_bench.suites.base import Head, Named
from ebm_bench.suites.budget import Budget
from ebm_bench.suites.compatibility import (
    check_directed,
    check_fitting,
    check_named,
    check_objective,
    check_offered,
    check_served,
    fail,
    objective_parts,
)
from ebm_bench.suites.names import DatasetName, Distinct, Name
from ebm_bench.suites.specs import DatasetSpec, MethodSpec
from ebm_bench.suites.tuning import Search, Tuned, Tuning, combinations
from ebm_bench.utils import yaml_files
from ebm_bench.utils.files import replacing

_FILE = ".suite"  # in a folder of results: path of the suite


class Suite(Head):
    """A leaderboard: datasets × methods, with budgets and metrics.

    Attributes
    ----------
    datasets : dict of str to DatasetSpec
        Datasets by their registered names.
    methods : dict of str to MethodSpec
        Methods by the names of their rows.
    tuning : Tuning, optional
        Search space and budget of ``ebm-bench tune``.
    tuned : Tuned, optional
        Tuned values; in the file, their path relative to the suite. They replace learning rates
        of budgets and defaults of settings, but no setting that the suite states.
    plugins : tuple of str
        Files whose registered classes the suite uses, relative to the suite.
    """

    datasets: Annotated[dict[DatasetName, DatasetSpec], Field(min_length=1), Distinct]
    methods: Annotated[dict[Name, MethodSpec], Field(min_length=1), Distinct]
    tuning: Tuning | None = None
    tuned: Tuned | None = None
    plugins: tuple[str, ...] = ()

    @field_validator("plugins")
    @classmethod
    def _check_plugins(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse plugins that could not lie side by side, as they do next to records."""
        if len({Path(name).name.casefold() for name in given}) < len(given):
            raise ValueError("two plugins have the same file name; rename one")
        return given

    @model_validator(mode="after")
    def _check_names(self) -> "Suite":
        for name, data in self.datasets.items():
            at = f"datasets.{name}"
            check_named(at, "datasets", name, data.settings)
            check_named(f"{at}.energy", "energies", data.energy.name, data.energy.settings)
            check_named(f"{at}.sampler", "samplers", data.sampler.name, data.sampler.settings)
            for metric, settings in data.metrics.items():
                check_named(f"{at}.metrics", "metrics", metric, settings)
                check_offered(f"{at}.metrics", metric, name)
            check_named(f"{at}.curve", "metrics", data.curve, data.metrics.get(data.curve, {}))
            check_offered(f"{at}.curve", data.curve, name, learned=())
            if data.rank_by not in data.metrics:
                known = data.metrics or ["none; add one to metrics"]
                fail(f"{at}.rank_by", unknown("metric of this dataset", data.rank_by, known))
            check_directed(f"{at}.rank_by", data.rank_by, data.metrics)
            check_directed(f"{at}.curve", data.curve, data.metrics)
        for name, method in self.methods.items():
            at = f"methods.{name}"
            for dataset in [*(method.datasets or []), *method.overrides]:
                if dataset not in self.datasets:
                    fail(at, unknown("dataset of this suite", dataset, self.datasets))
            check_objective(f"{at}.settings", method.objective, method.settings)
            for dataset, settings in method.overrides.items():
                others = self.settings_of(dataset, name)
                check_objective(f"{at}.overrides.{dataset}", method.objective, settings, others)
            if method.energy:
                check_named(f"{at}.energy", "energies", method.energy.name, method.energy.settings)
            for dataset in self.datasets_of(name):
                energy = self.energy_of(dataset, name)
                check_fitting(at, method.objective, energy, dataset)
        self._check_tuning()
        return self

    def _check_tuning(self) -> None:
        check_served("tuning.datasets", self.tuned_on, self.datasets)
        if not self.tuned:
            return
        found = self.tuned.datasets
        serving = {name: tuned.serves for name, tuned in found.items()}
        check_served("tuned.datasets", serving, self.datasets)
        for dataset, tuned in found.items():
            for name, outcome in tuned.methods.items():
                at = f"tuned.datasets.{dataset}.methods.{name}"
                if name not in self.methods:
                    fail(at, unknown("method of this suite", name, self.methods))
                settings = outcome.best.settings if outcome.best else {}
                twice = [key for key in settings if key in self.stated_settings(dataset, name)]
                if twice:
                    fail(at, f"the suite states {twice[0]} itself; tune again")
                check_objective(at, self.methods[name].objective, settings)

    def datasets_of(self, method: str) -> list[str]:
        """List the datasets that a method runs on."""
        chosen = self.methods[method].datasets
        return [name for name in self.datasets if chosen is None or name in chosen]

    def methods_of(self, dataset: str) -> list[str]:
        """List the methods that run on a dataset."""
        return [name for name in self.methods if dataset in self.datasets_of(name)]

    def jobs(self) -> dict[str, list[str]]:
        """Map each dataset with a method to its methods: a job of the workflow."""
        grid = {dataset: self.methods_of(dataset) for dataset in self.datasets}
        return {dataset: methods for dataset, methods in grid.items() if methods}

    def runs(self) -> list[tuple[str, str]]:
        """List the runs: datasets, each with its methods."""
        return [
            (dataset, method) for dataset in self.datasets for method in self.methods_of(dataset)
        ]

    def energy_of(self, dataset: str, method: str) -> Named:
        """Return the energy that a method trains on a dataset."""
        return self.methods[method].energy or self.datasets[dataset].energy

    def settings_of(self, dataset: str, method: str) -> dict[str, Any]:
        """Return the settings of a method's objective on a dataset."""
        tuned = self.tuned and self.tuned.values(dataset, method)
        return {**(tuned.settings if tuned else {}), **self.stated_settings(dataset, method)}

    def stated_settings(self, dataset: str, method: str) -> dict[str, Any]:
        """Return the settings that the suite itself states for a method on a dataset."""
        spec = self.methods[method]
        return {**spec.settings, **spec.overrides.get(dataset, {})}

    def budget_of(self, dataset: str, method: str) -> Budget:
        """Return the budget of a method on a dataset, with its tuned learning rate."""
        budget = self.datasets[dataset].budget
        tuned = self.tuned and self.tuned.values(dataset, method)
        return budget.model_copy(update={"learning_rate": tuned.learning_rate}) if tuned else budget

    @property
    def tuned_on(self) -> dict[str, list[str]]:
        """Map each dataset of tuning to the further datasets that use its values."""
        if self.tuning is None:
            return {}
        chosen = self.tuning.datasets
        return {name: [] for name in self.datasets} if chosen == "all" else chosen

    def criterion_of(self, dataset: str) -> Named:
        """Return the metric that tuning minimises, the same for all methods.

        The divergence from the density where it is known, which every model has: by quadrature
        if there is a grid, else by sampling, or the Fisher divergence where the suite ranks by
        it, as log Z is not found for every model. Of other data the negative log-likelihood if
        there is a grid, else the Hyvärinen score. With the settings that the suite states for it.
        """
        knows = registry.describe("datasets", dataset).knows
        if "grid" not in knows and self.datasets[dataset].rank_by == "fisher_divergence":
            name = "fisher_divergence"
        elif "log_prob" in knows:
            name = "kl_divergence" if "grid" in knows else "sampled_kl_divergence"
        else:
            name = "negative_log_likelihood" if "grid" in knows else "hyvarinen_score"
        return Named(name=name, settings=self.datasets[dataset].metrics.get(name, {}))

    def search_of(self, dataset: str, method: str) -> Search | None:
        """Begin the search of a method on a dataset; None if nothing is trained.

        It varies the learning rate, and those settings of the objective's ``search`` that the
        suite does not state.
        """
        objective = registry.describe("objectives", self.methods[method].objective)
        if self.tuning is None or not objective.trains:
            return None
        stated = self.stated_settings(dataset, method)
        space = {name: values for name, values in objective.search.items() if name not in stated}
        # The last round is left for the best.
        tried = combinations(space, self.tuning.rounds - 1, f"{self.seed} {dataset}")
        return Search(self.tuning, [objective.normalise(settings) for settings in tried])

    def tuning_jobs(self) -> dict[str, list[str]]:
        """Map each dataset of tuning to the methods that are tuned on it."""
        grid = {
            dataset: [m for m in self.methods_of(dataset) if self.search_of(dataset, m)]
            for dataset in self.tuned_on
        }
        return {dataset: methods for dataset, methods in grid.items() if methods}

    def edges(self, dataset: str) -> dict[str, str]:
        """Name, by method, what is best at an end of what tuning tried: beyond may be better."""
        found = {m: self.tuned and self.tuned.chosen(dataset, m) for m in self.methods_of(dataset)}
        return {
            method: ", ".join(chosen.edge).replace("_", " ")
            for method, chosen in found.items()
            if chosen and chosen.edge
        }

    def training_slice(self, dataset: str, method: str) -> str:
        """Everything that a training depends on, as canonical JSON."""
        chosen = self.datasets[dataset]
        # The curve's metric may draw samples of the model, if it does not sum over a grid.
        samples = "grid" not in registry.describe("metrics", chosen.curve).requires
        unused = {"metrics", "rank_by", *(() if samples else ("sampler",))}
        data = chosen.model_dump(exclude=unused)
        data["settings"] = registry.describe("datasets", dataset).portable(chosen.settings)
        spec = self.methods[method].model_dump(exclude={"datasets", "control", "overrides"})
        spec["settings"] = self.settings_of(dataset, method)
        data["budget"] = self.budget_of(dataset, method).model_dump()
        curve = chosen.metrics.get(chosen.curve, {})
        return json.dumps(
            {
                "suite": [self.name, self.version, self.seed],
                "dataset": [dataset, data],
                "curve": curve,
                "method": [method, spec],
            },
            sort_keys=True,
        )

    def evaluation_slice(self, dataset: str) -> str:
        """Everything that an evaluation depends on besides the trained model, as JSON."""
        used = self.datasets[dataset].model_dump(include={"settings", "metrics", "sampler"})
        used["settings"] = registry.describe("datasets", dataset).portable(used["settings"])
        # Metrics are measured in their order, and may draw from the same streams.
        return json.dumps({**used, "metrics": [*used["metrics"].items()]}, sort_keys=True)

    def training_parts(
        self, dataset: str, method: str, curve: str | None = None
    ) -> list[tuple[str, Named]]:
        """List what a training is put together from: families, with names and settings."""
        data, spec = self.datasets[dataset], self.methods[method]
        curve = curve or data.curve
        settings = self.settings_of(dataset, method)
        return [
            ("datasets", self.data(dataset, data.settings)),
            ("energies", self.energy_of(dataset, method)),
            ("samplers", data.sampler),
            ("metrics", Named(name=curve, settings=data.metrics.get(curve, {}))),
            *objective_parts(spec.objective, settings),
        ]

    def evaluation_parts(self, dataset: str) -> list[tuple[str, Named]]:
        """List what trained models are measured with: families, with names and settings."""
        data = self.datasets[dataset]
        metrics = (Named(name=name, settings=given) for name, given in data.metrics.items())
        return [("samplers", data.sampler), *(("metrics", metric) for metric in metrics)]

    def slices(self, dataset: str, method: str) -> list[str]:
        """List everything but files that a run depends on, as JSON."""
        return [self.training_slice(dataset, method), self.evaluation_slice(dataset)]

    def parts(self, dataset: str, method: str) -> list[tuple[str, Named]]:
        """List what a method is trained and measured with on a dataset."""
        return [*self.training_parts(dataset, method), *self.evaluation_parts(dataset)]


def load(path: str | Path, tuned: bool = True) -> Suite:
    """Load the plugins that a suite names, read it and check it.

    Parameters
    ----------
    path : str or Path
        Path of the YAML file.
    tuned : bool
        Whether to use its tuned values.

    Raises
    ------
    InputError
        One message that names the file, the key and the valid choices.
    """
    content = base.read(path, "leaderboard")
    if not isinstance(content, dict):
        return check(content, str(path))
    load_plugins(content, path)
    if not tuned:
        content.pop("tuned", None)
    elif isinstance(content.get("tuned"), str):
        content["tuned"] = read_tuned(Path(path).parent / content["tuned"])
    suite = check(content, str(path))
    for name in suite.datasets:
        if not suite.methods_of(name):
            raise InputError(f"{path}: datasets.{name}: no method runs on it; remove it")
    return suite.at(Path(path).parent)


def load_plugins(content: Any, path: str | Path) -> None:
    """Load the plugins that the content of a suite names.

    Parameters
    ----------
    content : object
        Parsed content of the file, which may be anything.
    path : str or Path
        Path of the file, to which those of plugins are relative.

    Raises
    ------
    InputError
        Names the file and the plugin.
    """
    plugins = content.get("plugins") if isinstance(content, dict) else None
    for name in plugins if isinstance(plugins, list) else []:
        try:
            registry.load(Path(path).parent / str(name))
        except InputError as error:
            raise InputError(f"{path}: plugins: {error}") from None


def read_tuned(path: Path) -> Tuned:
    """Read the tuned values of a suite.

    Raises
    ------
    InputError
        Names the file, and what is wrong.
    """
    try:
        return yaml_files.validate(Tuned, yaml_files.read(path), str(path))
    except InputError as error:
        raise InputError(f"{error}\n`ebm-bench tune` writes the file") from None


def tuned_file(path: str | Path, suite: Suite) -> Path:
    """Return the path of the tuned values of a suite, in a folder beside its file."""
    return Path(path).parent / "tuned" / f"{suite.name}.yaml"


def keep_file(path: str | Path, results: Path) -> None:
    """Note beside results which suite they are of."""
    with replacing(results / _FILE) as temporary:
        # Without links, as a path that goes up from a folder does not go back through its link.
        note = os.path.relpath(Path(path).resolve(), results.resolve())
        temporary.write_bytes(os.fsencode(note))


def refuse_other_file(path: str | Path, suite: Suite, results: Path) -> None:
    """Refuse results of another suite of the same name, which would be overwritten.

    A copy of the suite, of the same content whatever each of them extends, is none, nor is a file
    that has another name by now.

    Raises
    ------
    InputError
        Names both files.
    """
    note, path = results / _FILE, Path(path)
    other = results / os.fsdecode(note.read_bytes()) if note.exists() else path
    if not other.is_file() or other.samefile(path):
        return
    content = yaml_files.read(other)
    if content == yaml_files.read(path):
        return
    if isinstance(content, dict) and content.get("name") == suite.name:
        raise InputError(
            f"{results}: holds the results of {other.resolve()}, and {path} is another suite of "
            f"the same name '{suite.name}'; rename one of the suites"
        )


def check(content: dict[str, Any], source: str) -> Suite:
    """Check the content of a suite.

    Parameters
    ----------
    content : dict
        Parsed content of a file.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        One line for each problem: source, key, what is wrong and what is valid.
    """
    return yaml_files.validate(Suite, content, source)
