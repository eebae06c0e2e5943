"""Stress tests: a known failure mode each, as a curve over a knob of difficulty.

A panel is a suite in which a value is left open, as ``$knob``; for each value of the knob it
becomes an ordinary suite, which is trained, evaluated and recorded like any other. Nothing at
the top imports torch: the workflow reads the panels each time it starts.
"""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ebm_bench.records import fingerprint
from ebm_bench.studies.stress import theory
from ebm_bench.suites import base, suite
from ebm_bench.suites.base import Head, Strict
from ebm_bench.suites.names import Distinct, Name
from ebm_bench.suites.suite import Suite

OPEN = "$knob"
VALUES = "values.parquet"  # table of what was measured


class Knob(Strict):
    """Difficulty that a panel varies.

    Attributes
    ----------
    label : str
        Label of the axis, with the unit.
    values : list of int or float
        Values in ascending order.
    scale : {"linear", "log"}
        Scale of the axis.
    """

    label: str
    values: Annotated[list[int | float], Field(min_length=2)]
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _check_values(self) -> "Knob":
        if sorted(set(self.values)) != self.values:
            raise ValueError(f"values {self.values} are not ascending")
        if self.scale == "log" and self.values[0] <= 0:
            raise ValueError(f"a logarithmic axis cannot show the value {self.values[0]}")
        return self


class Curve(Strict):
    """Theoretical curve, see `ebm_bench.studies.stress.theory`.

    Attributes
    ----------
    curve : str
        Name of the curve, over the knob.
    settings : dict
        Settings of the curve.
    axis : {"left", "right"}
        Axis of the measure, or an axis of its own.
    """

    curve: str
    settings: dict[str, Any] = Field({})
    axis: Literal["left", "right"] = "left"

    @model_validator(mode="after")
    def _check_curve(self) -> "Curve":
        theory.check(self.curve, self.settings)
        return self


class Panel(Strict):
    """A failure mode: a suite of one dataset in which the value of the knob is left open.

    Attributes
    ----------
    title : str
        Failure mode in a few words.
    knob : Knob
        Difficulty that is varied.
    scale : {"linear", "log"}
        Scale of the axis of the measure, which is the dataset's ``rank_by``.
    floor : float, optional
        Lower end of a logarithmic axis; smaller values are drawn at its edge.
    theory : dict of str to Curve
        Curves by their names in the legend.
    datasets, methods : dict
        As in a suite, with ``$knob`` for a value.
    """

    title: str
    knob: Knob
    scale: Literal["linear", "log"] = "log"
    floor: float | None = None
    theory: dict[str, Curve] = Field({})
    datasets: Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=1)]
    methods: Annotated[dict[Name, dict[str, Any]], Field(min_length=1), Distinct]

    @model_validator(mode="after")
    def _check_knob(self) -> "Panel":
        parts = [self.datasets, self.methods]
        if filled(parts, 0) == parts:
            raise ValueError(f"the knob has no effect: no setting is '{OPEN}'")
        return self

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return next(iter(self.datasets))

    @property
    def metric(self) -> str:
        """Name of the metric that the panel shows."""
        return self.datasets[self.dataset]["rank_by"]


class Stress(Head):
    """A suite of stress tests: panels."""

    panels: Annotated[dict[Name, Panel], Field(min_length=1), Distinct]

    def expand(self, panel: str, source: str = "panels") -> dict[int | float, Suite]:
        """Make the suite of each value of a panel's knob.

        Raises
        ------
        InputError
            Naming the source, the panel, the value of the knob and what is wrong.
        """
        spec = self.panels[panel]
        return {
            value: suite.check(
                {
                    "name": f"{self.name}-{panel}".lower(),
                    "version": self.version,
                    "seed": self.seed,
                    "datasets": filled(spec.datasets, value),
                    "methods": filled(spec.methods, value),
                },
                f"{source}: {panel} at {value}",
            ).at(self._folder)
            for value in spec.knob.values
        }

    def settings(self, panel: str) -> str:
        """Digest everything but files that the values of a panel depend on, however it is put."""
        spec, points = self.panels[panel], self.expand(panel).values()
        controls = [method.control for point in points for method in point.methods.values()]
        stated = [self.name, spec.knob.values, slices(points), controls]
        return fingerprint.digest(json.dumps(stated), [])

    def files(self, panel: str) -> list[Path]:
        """List the files on which a panel depends."""
        return files(self.expand(panel).values(), "studies/stress/run.py")


def slices(points: Iterable[Any]) -> list[str]:
    """List everything but files that all runs of several suites depend on, as JSON."""
    return [text for point in points for run in point.runs() for text in point.slices(*run)]


def files(points: Iterable[Any], module: str) -> list[Path]:
    """List the files on which all runs of several suites depend, by the module that runs them."""
    parts = [part for point in points for run in point.runs() for part in point.parts(*run)]
    return fingerprint.files(parts, module)


load = partial(base.load, Stress, "stress")  # the suites of panels are checked when expanded


def filled(node: Any, value: float) -> Any:
    """Copy a part of a suite with the value of the knob in the open places.

    Parameters
    ----------
    node : object
        Content of YAML.
    value : float
        What stands where `OPEN` was.
    """
    if isinstance(node, dict):
        return {key: filled(below, value) for key, below in node.items()}
    if isinstance(node, list):
        return [filled(below, value) for below in node]
    return value if node == OPEN else node
