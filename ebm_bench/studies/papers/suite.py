"""Papers: a suite, at one or several values of a knob, and the claims that it is to decide.

Nothing here imports torch: the workflow reads papers each time it starts.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Gt
from pydantic import Field, model_validator

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.records import fingerprint
from ebm_bench.studies.estimation.suite import EstimationSuite
from ebm_bench.studies.stress import suite as stress
from ebm_bench.studies.stress.suite import Knob, filled
from ebm_bench.suites import base, suite
from ebm_bench.suites.base import Head, Strict
from ebm_bench.suites.compatibility import fail
from ebm_bench.suites.suite import Suite
from ebm_bench.utils import yaml_files

SQUARED_ERROR = "squared_error"  # of estimated parameters, as if it were a metric
MEASURES = ("ratio", "difference", "value", "slope")
_SCALES = {"ratio": "log", "difference": "linear", "slope": "log"}  # of the metric


class Scaled(Strict):
    """A setting that differs from the published experiment.

    Attributes
    ----------
    what, published, here : str
        Setting, and its two values. "not checked" is an honest value of the second.
    """

    what: str
    published: str
    here: str


class Claim(Strict):
    """A published claim, and the numbers that decide it.

    Attributes
    ----------
    claim, published : str
        Claim in a sentence, and the figures that the paper gives for it.
    ratio : (str, str), optional
        Two models: the criterion of the first over that of the second.
    difference : (str, str), optional
        Two models: the criterion of the first less that of the second, if it may be negative.
    value : str, optional
        A model, whose criterion itself counts.
    slope : str, optional
        A model, whose criterion is a power of the knob: the exponent.
    dataset : str
        Dataset, which need not be named if there is only one.
    metric : str
        Metric of the dataset, by default the one that it is ranked by.
    at, against : float, optional
        Value of the knob, for the second of two models too unless it has its own.
    below, above : float, optional
        Limits: a claim is reproduced where the whole interval lies between them.

    Notes
    -----
    A model is the name of a method, or ``method (model)`` for a by-product of training. Exactly
    one of ``ratio``, ``difference``, ``value`` and ``slope`` is given, and one limit at least.
    """

    claim: str
    published: str
    ratio: tuple[str, str] | None = None
    difference: tuple[str, str] | None = None
    value: str | None = None
    slope: str | None = None
    dataset: str = ""
    metric: str = ""
    at: float | None = None
    against: float | None = None
    below: float | None = None
    above: float | None = None

    @property
    def measure(self) -> str:
        """Which of `MEASURES` decides."""
        return next(name for name in MEASURES if getattr(self, name) is not None)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, one or two."""
        named = getattr(self, self.measure)
        return (named,) if isinstance(named, str) else named

    @property
    def knobs(self) -> tuple[float | None, ...]:
        """Value of the knob for each of the models."""
        return (self.at, self.at if self.against is None else self.against)[: len(self.models)]

    @model_validator(mode="after")
    def _check_form(self) -> "Claim":
        given = [name for name in MEASURES if getattr(self, name) is not None]
        if len(given) != 1:
            stated = ", ".join(given) or "none"
            raise ValueError(f"give one of {', '.join(MEASURES)}; given: {stated}")
        if self.below is None and self.above is None:
            raise ValueError("gives no limit: below, above or both")
        if self.below is not None and self.above is not None and self.above >= self.below:
            raise ValueError(f"no number is above {self.above:g} and below {self.below:g}")
        if self.against is not None and len(self.models) < 2:
            raise ValueError(f"against is for two models, and not for a {self.measure}")
        return self


class Source(Strict):
    """Where something was published.

    Attributes
    ----------
    citation : str
        Authors, title, venue and year.
    arxiv : str
        Number of the preprint.
    url : str
        Address of what has no preprint.
    """

    citation: str
    arxiv: Annotated[str, Field(pattern=r"^(\d{4}\.\d{4,5})?$")] = ""
    url: Annotated[str, Field(pattern=r"^(https://\S+)?$")] = ""

    @property
    def place(self) -> str:
        """Where it is found."""
        return f"arXiv:{self.arxiv}" if self.arxiv else self.url

    @model_validator(mode="after")
    def _check_place(self) -> "Source":
        if not self.place:
            raise ValueError("gives no place: arxiv or url")
        return self


class Cell(NamedTuple):
    """A run of a paper: a method on a dataset or model, at a value of the knob."""

    knob: float | None
    dataset: str
    method: str


class Paper(Head):
    """A published comparison.

    Attributes
    ----------
    paper : Source
        Where it was published.
    scaled : tuple of Scaled
        What differs from the published experiment.
    knob : Knob, optional
        What the paper varies; ``$knob`` stands for its value in the suite.
    minutes : float
        About how long it takes on one core.
    suite : dict
        What a suite has below its head: a leaderboard, or ``kind: estimation``.
    claims : list of Claim
        What is to be reproduced.
    plugins : tuple of str
        As those of a suite.
    """

    kind: str = "paper"
    paper: Source
    scaled: tuple[Scaled, ...] = ()
    knob: Knob | None = None
    minutes: Annotated[float, Gt(0)] = 1.0
    suite: dict[str, Any]
    claims: Annotated[list[Claim], Field(min_length=1)]
    plugins: tuple[str, ...] = ()

    def at(self, folder: Path) -> "Paper":
        """Let relative paths start from a folder, those of the suite too."""
        self.__dict__.pop("points", None)
        return super().at(folder)

    @cached_property
    def points(self) -> dict[float | None, Suite | EstimationSuite]:
        """The suite at each value of the knob; at None if there is no knob."""
        values = self.knob.values if self.knob else [None]
        return {value: self._point(value) for value in values}

    @cached_property
    def cells(self) -> list[Cell]:
        """All runs."""
        return [
            Cell(value, dataset, method)
            for value, point in self.points.items()
            for dataset, method in point.runs()
        ]

    @property
    def settings(self) -> str:
        """Digest of what the file and its plugins state of runs: of which settings values are."""
        knob = self.knob.values if self.knob else None
        stated = [self.name, self.version, self.seed, knob, self.suite]
        return fingerprint.digest(
            json.dumps(stated, sort_keys=True), [self._folder / name for name in self.plugins]
        )

    def metrics(self, dataset: str) -> list[str]:
        """Metrics of a dataset, the one that it is ranked by first."""
        point = next(iter(self.points.values()))
        if isinstance(point, EstimationSuite):
            return [SQUARED_ERROR]
        spec = point.datasets[dataset]
        return list(dict.fromkeys([spec.rank_by, *spec.metrics]))

    def slices(self) -> list[str]:
        """List everything but files that the runs depend on, as JSON."""
        return stress.slices(self.points.values())

    def files(self) -> list[Path]:
        """List the files on which the runs depend."""
        return stress.files(self.points.values(), "studies/papers/run.py")

    def _point(self, value: float | None) -> Suite | EstimationSuite:
        content = self.suite if value is None else filled(self.suite, value)
        head = {"name": self.name, "version": self.version, "seed": self.seed}
        where = f"{self.name}: suite" + ("" if value is None else f" at {value:g}")
        if content.get("kind") != "estimation":
            return suite.check({**head, **content}, where).at(self._folder)
        found: EstimationSuite = yaml_files.validate(EstimationSuite, {**head, **content}, where)
        return found.at(self._folder)

    @model_validator(mode="after")
    def _check_claims(self) -> "Paper":
        if self.knob and filled(self.suite, 0) == self.suite:
            raise ValueError("knob: has no effect: no setting of the suite is '$knob'")
        try:
            datasets = list(dict.fromkeys(cell.dataset for cell in self.cells))
        except InputError as error:
            raise ValueError(str(error)) from None
        for place, claim in enumerate(self.claims):
            at = f"claims.{place}"
            if not claim.dataset and len(datasets) > 1:
                fail(f"{at}.dataset", f"is needed, one of {', '.join(datasets)}")
            if claim.dataset and claim.dataset not in datasets:
                fail(f"{at}.dataset", unknown("dataset of this paper", claim.dataset, datasets))
            self._check_claim(at, claim, claim.dataset or datasets[0])
        return self

    def _check_claim(self, at: str, claim: Claim, dataset: str) -> None:
        metrics = self.metrics(dataset)
        metric = claim.metric or metrics[0]
        if metric not in metrics:
            fail(f"{at}.metric", unknown("metric of this dataset", metric, metrics))
        scale = _SCALES.get(claim.measure, scale_of(metric))
        if scale_of(metric) != scale:
            fitting = ", ".join(m for m in metrics if scale_of(m) == scale) or "none of them"
            needs = "positive values" if scale == "log" else "values of any sign"
            fail(
                f"{at}.metric",
                f"a {claim.measure} is of {needs}, and {metric} "
                f"{'may be negative' if scale == 'log' else 'is positive'}. Valid: {fitting}",
            )
        methods = [cell.method for cell in self.cells if cell.dataset == dataset]
        for model in claim.models:
            if method_of(model) not in methods:
                fail(at, unknown("method of this paper", model, dict.fromkeys(methods)))
        if claim.measure == "slope":
            if self.knob is None:
                fail(f"{at}.slope", "a slope is one by the knob, and this paper has none")
            if claim.at is not None:
                fail(f"{at}.at", "a slope is over all values of the knob")
            return
        known = list(self.points)
        for key, value in zip(("at", "against"), claim.knobs, strict=False):
            if value not in known:
                listed = ", ".join(f"{x:g}" for x in known if x is not None) or "no knob"
                given = "no value" if value is None else f"{value:g}"
                fail(f"{at}.{key}", f"{given} of the knob. Valid: {listed}")


def method_of(model: str) -> str:
    """Take the method from the name of a model, ``method`` or ``method (model)``."""
    return model.partition(" (")[0]


def scale_of(metric: str) -> Literal["linear", "log"]:
    """Find the scale on which values of a metric are compared."""
    log = metric == SQUARED_ERROR or registry.describe("metrics", metric).scale == "log"
    return "log" if log else "linear"


def load(path: str | Path) -> Paper:
    """Read and check a paper, and load the plugins that it names.

    Raises
    ------
    InputError
        One line for each problem: file, key, what is wrong and what is valid.
    """
    content = base.read(path, "paper")
    suite.load_plugins(content, path)
    found: Paper = yaml_files.validate(Paper, content, str(path))
    return found.at(Path(path).parent)


def load_named(path: str | Path) -> Paper:
    """Read a paper whose results are in a folder of its name.

    Raises
    ------
    InputError
        Where it is not valid, or its name is not that of its file.
    """
    paper, path = load(path), Path(path)
    if paper.name != path.stem:
        raise InputError(f"{path}: name: '{paper.name}' is not that of the file; rename one")
    return paper


def load_all(paths: Iterable[str | Path]) -> dict[str, Paper]:
    """Read papers, by name; see `load_named`.

    Raises
    ------
    InputError
        Where one is not valid, or there is none.
    """
    found = {paper.name: paper for paper in map(load_named, paths)}
    if not found:
        raise InputError("no paper is given; `benchmarks/papers` has their files")
    return found
