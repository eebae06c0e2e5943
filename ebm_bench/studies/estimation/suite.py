"""Suites of parameter estimation: models with true parameters × methods × sizes of data.

Nothing here imports torch: the workflow reads suites each time it starts.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from ebm_bench import registry
from ebm_bench.errors import unknown
from ebm_bench.records import fingerprint
from ebm_bench.suites import base
from ebm_bench.suites.base import Head, Named, Strict
from ebm_bench.suites.compatibility import (
    check_fitting,
    check_named,
    check_objective,
    fail,
    objective_parts,
)
from ebm_bench.suites.names import Distinct, Name
from ebm_bench.suites.specs import ObjectiveSpec

# Files of a job.
TABLE, RECORD = "estimates.parquet", "record.json"
Counts = Annotated[list[Annotated[int, Ge(1)]], Field(min_length=1)]


class ModelSpec(Strict):
    """A model with true parameters.

    Attributes
    ----------
    dataset : Named
        Distribution of the data, whose parameters are known.
    energy : Named
        Model with these parameters.
    sizes, ratios : list of int, optional
        Sizes and ratios that replace those of the suite.
    """

    dataset: Named
    energy: Named
    sizes: Counts | None = None
    ratios: Counts | None = None


class Override(Strict):
    """Settings of a method that differ on one model."""

    energy: Named | None = None
    settings: dict[str, Any] = Field(default={})
    biased: bool | None = None


class Estimator(ObjectiveSpec):
    """A method of estimation; further attributes as in `ObjectiveSpec`.

    Attributes
    ----------
    varies : str, optional
        Setting that the ratio ν is assigned to.
    ratio : int, optional
        Default ratio of this method, which replaces that of the suite.
    biased : bool
        Whether its estimates are inconsistent.
    reference : bool
        Whether the other methods are compared with it.
    overrides : dict of str to Override
        Settings that differ, by model.
    """

    varies: str | None = None
    ratio: Annotated[int, Ge(1)] | None = None
    biased: bool = False
    reference: bool = False
    overrides: dict[str, Override] = Field(default={})


class EstimationSuite(Head):
    """Models × methods, over sizes N of the data and ratios ν.

    Attributes
    ----------
    data_sets : int
        Number of data sets of each size.
    sizes, ratios : list of int
        Sizes N at the default ratio, and ratios ν at the default size.
    size, ratio : int
        Default size and ratio.
    theory_evaluations : float
        Approximate number of evaluations of the energy for the asymptotic covariance of one
        method and ratio.
    models : dict of str to ModelSpec
        Models by name.
    methods : dict of str to Estimator
        Methods by name.
    """

    data_sets: Annotated[int, Ge(2)] = 100
    sizes: Counts
    ratios: Counts
    size: Annotated[int, Ge(2)]
    ratio: Annotated[int, Ge(1)]
    theory_evaluations: Annotated[float, Gt(0)] = 3e6
    models: Annotated[dict[Name, ModelSpec], Field(min_length=1), Distinct]
    methods: Annotated[dict[Name, Estimator], Field(min_length=1), Distinct]

    @model_validator(mode="after")
    def _check_names(self) -> "EstimationSuite":
        for name, spec in self.models.items():
            at = f"models.{name}"
            check_named(f"{at}.dataset", "datasets", spec.dataset.name, spec.dataset.settings)
            check_named(f"{at}.energy", "energies", spec.energy.name, spec.energy.settings)
            knows = registry.describe("datasets", spec.dataset.name).knows
            if "parameters" not in knows:
                known = [
                    n
                    for n, entry in registry.entries("datasets").items()
                    if "parameters" in entry.knows
                ]
                fail(at, f"{spec.dataset.name} has no true parameters. Valid: {', '.join(known)}")
        for name, method in self.methods.items():
            at = f"methods.{name}"
            varied = {method.varies: self.ratio} if method.varies else {}
            check_objective(at, method.objective, method.settings, varied)
            for model, override in method.overrides.items():
                if model not in self.models:
                    fail(at, unknown("model of this suite", model, self.models))
                others = {**self.settings_of(model, name), **varied}
                check_objective(at, method.objective, override.settings, others)
                if override.energy:
                    given = override.energy
                    check_named(f"{at}.overrides.{model}", "energies", given.name, given.settings)
            for model in self.models:
                check_fitting(
                    at,
                    method.objective,
                    self.energy_of(model, name),
                    self.models[model].dataset.name,
                    advice=f": override the energy of {model}",
                )
        return self

    def energy_of(self, model: str, method: str) -> Named:
        """Return the energy that a method uses for a model."""
        override = self.methods[method].overrides.get(model, Override())
        return override.energy or self.models[model].energy

    def settings_of(self, model: str, method: str) -> dict[str, Any]:
        """Return the settings of a method's objective on a model."""
        override = self.methods[method].overrides.get(model, Override())
        return {**self.methods[method].settings, **override.settings}

    def biased(self, model: str, method: str) -> bool:
        """Return whether the estimates of a method on a model are inconsistent."""
        override = self.methods[method].overrides.get(model, Override())
        return self.methods[method].biased if override.biased is None else override.biased

    def grid(self, model: str, method: str) -> list[tuple[int, int]]:
        """List the sizes N and ratios ν of a method on a model.

        A method without a ratio has all sizes at the default one.
        """
        spec, default = self.models[model], self.ratio_of(method)
        points = [(n, default) for n in spec.sizes or self.sizes]
        if self.methods[method].varies:
            points += [(self.size, nu) for nu in spec.ratios or self.ratios]
        return sorted({*points, (self.size, default)})

    def work(self, model: str, method: str) -> int:
        """Estimate the cost of a job, in arbitrary units, so that the longest can start first."""
        dimension = self.models[model].dataset.settings.get("dimension", 1)
        return sum(n * nu for n, nu in self.grid(model, method)) * dimension**2

    def ratio_of(self, method: str) -> int:
        """Return the default ratio of a method."""
        return self.methods[method].ratio or self.ratio

    def runs(self) -> list[tuple[str, str]]:
        """List the jobs: models, each with its methods."""
        return [(model, method) for model in self.models for method in self.methods]

    def slices(self, model: str, method: str) -> list[str]:
        """Everything but files that a job depends on, as canonical JSON."""
        data = self.models[model].dataset
        portable = registry.describe("datasets", data.name).portable(data.settings)
        content = {
            "suite": [self.name, self.version, self.seed, self.data_sets],
            "theory": self.theory_evaluations,
            "grid": self.grid(model, method),
            "dataset": [model, {"name": data.name, "settings": portable}],
            "energy": self.energy_of(model, method).model_dump(),
            "method": [method, self.methods[method].model_dump(exclude={"overrides"})],
            "settings": self.settings_of(model, method),
            "biased": self.biased(model, method),
        }
        return [json.dumps(content, sort_keys=True)]

    def settings(self, model: str, method: str) -> str:
        """Digest everything but files that a job depends on."""
        return fingerprint.digest("".join(self.slices(model, method)), [])

    def parts(self, model: str, method: str) -> list[tuple[str, Named]]:
        """List what a job is put together from: families, with names and settings."""
        data = self.models[model].dataset
        return [
            ("datasets", self.data(data.name, data.settings)),
            ("energies", self.energy_of(model, method)),
            *objective_parts(self.methods[method].objective, self.settings_of(model, method)),
        ]

    def files(self, model: str, method: str) -> list[Path]:
        """List the files on which a job depends."""
        return fingerprint.files(self.parts(model, method), "studies/estimation/jobs.py")


load = partial(base.load, EstimationSuite, "estimation")
