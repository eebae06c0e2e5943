"""Published claims on estimation, checked one by one by a stated criterion."""

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np
import pandas as pd

from ebm_bench import registry
from ebm_bench.report.columns import Column, Interval, Table
from ebm_bench.report.formatting import number
from ebm_bench.report.tables.formats import markdown
from ebm_bench.studies.estimation.suite import EstimationSuite

GUTMANN, CEYLAN = "Gutmann and Hyvärinen 2012", "Ceylan and Gutmann 2018"
NCE, CNCE = "noise_contrastive", "conditional_noise_contrastive"
# Below, theory for large samples is not expected to hold.
LARGE = 500
# Number of sizes that show whether a line is straight.
FEWEST = 3
# Tolerance of a slope in a log-log plot; largest ratio to the reference; about ten times.
SLOPE, NEAR, TENFOLD = 0.15, 1.1, (5.0, 20.0)
# The dimension of the Gaussian for which CNCE was published to lose.
PUBLISHED = 5
RESAMPLES = 2_000
YES, NO, OPEN, UNTESTABLE = "yes", "no", "not decided", "not testable here"


@dataclass(frozen=True)
class Verdict:
    """The result of checking a claim on one model.

    Attributes
    ----------
    claim, source, model, criterion : str
        Published claim, its source, the model on which it is checked, and when it counts as
        reproduced.
    measured : str
        Numbers that decide.
    reproduced : str
        Whether they meet the criterion: ``yes``, ``no``; ``not decided``, where so many data
        sets do not decide; ``not testable here``, where no number of data sets on this model
        could show it.
    """

    claim: str
    source: str
    model: str
    criterion: str
    measured: str
    reproduced: str


def check(suite: EstimationSuite, summary: pd.DataFrame, estimates: pd.DataFrame) -> list[Verdict]:
    """Check every claim on every model that it speaks of.

    Parameters
    ----------
    suite : EstimationSuite
        What was compared. Claims on methods, models or sizes that are not there are left out.
    summary : DataFrame
        As `report.estimation.summarise` gives it.
    estimates : DataFrame
        What it summarises.
    """
    nce, cnce = (
        [method for method, spec in suite.methods.items() if spec.objective == objective]
        for objective in (NCE, CNCE)
    )
    reference = next((m for m, spec in suite.methods.items() if spec.reference), None)
    verdicts = []
    for model, spec in suite.models.items():
        own = _Model(
            suite,
            summary[summary["model"] == model],
            estimates[estimates["model"] == model],
            model,
        )
        for method, source in [*((m, GUTMANN) for m in nce), *((m, CEYLAN) for m in cnce)]:
            if len(own.large(method)) >= FEWEST:
                verdicts.append(own.linear(method, source))
            if reference:
                verdicts.append(own.approaches(method, reference, source))
        for method, other in itertools.product(nce, cnce):
            if spec.dataset.name == "gaussian" and own.large(method):
                verdicts.append(own.better(method, other))
            if spec.dataset.name == "ring" and own.large(method):
                verdicts.append(own.tenfold(method, other))
    return sorted(verdicts, key=lambda v: (v.source != GUTMANN, v.claim))


def render(suite: EstimationSuite, verdicts: list[Verdict]) -> str:
    """Write the claims as Markdown."""
    counts = Counter(verdict.reproduced for verdict in verdicts)
    others = ", ".join(f"{counts[kind]} {kind}" for kind in (NO, OPEN, UNTESTABLE) if counts[kind])
    caption = (
        f"{counts[YES]} of {len(verdicts)} checks of published claims are reproduced"
        f"{others and f'; {others}'} (suite {suite.name}, version {suite.version}, "
        f"{suite.data_sets} data sets each; errors are medians of squared errors; in brackets: "
        "95 % bootstrap interval over data sets; theory: the same of the normal distribution of "
        "large samples)."
    )
    keys = ("reproduced", "claim", "source", "model", "measured")
    columns = [Column(key, key.capitalize(), attrgetter(key)) for key in keys]
    criteria = dict.fromkeys(f"- {verdict.claim}: {verdict.criterion}." for verdict in verdicts)
    return "\n".join(
        [
            markdown(Table(columns, verdicts, caption)),
            "When a claim counts as reproduced:",
            "",
            *criteria,
            "",
        ]
    )


@dataclass(frozen=True)
class _Comparison:
    """The error of one method over that of another, the geometric mean over sizes."""

    measured: float
    low: float
    high: float
    theory: float

    def __str__(self) -> str:
        return f"{Interval(self.measured, self.low, self.high)} (theory: {number(self.theory)})"

    def within(self, least: float = -np.inf, most: float = np.inf) -> str:
        """Decide whether the ratio is within limits: its interval must be, or be outside."""
        if least <= self.low and self.high <= most:
            return YES
        return NO if self.high < least or self.low > most else OPEN


@dataclass(frozen=True)
class _Model:
    suite: EstimationSuite
    summary: pd.DataFrame
    estimates: pd.DataFrame
    name: str

    @cached_property
    def _errors(self) -> dict[tuple, np.ndarray]:
        """Errors of data sets, in the same order for all, by method, size and ratio."""
        groups = self.estimates.groupby(["method", "size", "ratio"], sort=False)
        return {key: group["error"].to_numpy(float) for key, group in groups}

    def over(self, sizes: list[int], *compared: tuple[str, int]) -> _Comparison:
        """Compare two methods, each at a ratio, over sizes of the data.

        All objectives see the same data sets, which are resampled together.
        """
        keys = [[(method, size, ratio) for size in sizes] for method, ratio in compared]
        first, second = (np.stack([self._errors[key] for key in own]) for own in keys)
        known = self.summary.set_index(["method", "size", "ratio"])["theory_median"]
        draws = self._draws(first.shape[1])
        low, high = _interval(_mean_ratio(first[:, draws], second[:, draws]))
        theory = _mean_ratio(*(known.loc[own].to_numpy()[:, None] for own in keys))
        measured = _mean_ratio(first, second)
        return _Comparison(float(measured), float(low), float(high), float(theory))

    def _default(self, method: str) -> tuple[str, int]:
        return method, self.suite.ratio_of(method)

    @staticmethod
    def _draws(count: int) -> np.ndarray:
        """Choose data sets with replacement, the same for all that is compared."""
        return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))

    def large(self, method: str) -> list[int]:
        """List the sizes of large data sets, at the default ratio."""
        own = self.summary[self.summary["method"] == method]
        own = own[(own["ratio"] == self.suite.ratio_of(method)) & (own["size"] >= LARGE)]
        return sorted(own["size"])

    def at(self, method: str, other: str) -> str:
        """State the settings at which two methods are compared."""
        stated = []
        for name in (method, other):
            spec, settings = self.suite.methods[name], self.suite.settings_of(self.name, name)
            if spec.objective == CNCE:
                _, default = registry.describe("objectives", CNCE).settings["epsilon"]
                stated.append(f"ε = {settings.get('epsilon', default):g}")
        ratios = list(dict.fromkeys(self.suite.ratio_of(name) for name in (method, other)))
        return ", ".join([*stated, f"ν = {' and '.join(map(str, ratios))}"])

    def linear(self, method: str, source: str) -> Verdict:
        """Fit a line to the logarithms of medians."""
        sizes, ratio = self.large(method), self.suite.ratio_of(method)
        errors = np.stack([self._errors[method, size, ratio] for size in sizes])
        found, off = _line(sizes, errors)
        slope = float(found)
        slopes, offs = _line(sizes, errors[:, self._draws(errors.shape[1])])
        (low, high), (below, above) = _interval(slopes), _interval(offs)
        off_most = np.abs(off).max()
        least, most = -1 - SLOPE, -1 + SLOPE
        outside = not np.isfinite(slope) or high < least or low > most
        bent = (below > SLOPE).any() or (above < -SLOPE).any()
        holds = least <= low <= high <= most and off_most <= SLOPE
        verdict = NO if outside or bent else YES if holds else OPEN
        return Verdict(
            f"the error of {method} falls linearly with N in a log-log plot",
            source,
            self.name,
            f"for N ≥ {LARGE}, the interval of the slope lies within −1 ± {SLOPE:g} (no: outside) "
            f"and no point is off the line by more than {SLOPE:g} decades (no: the interval of "
            "one is)",
            f"slope {Interval(slope, low, high)}, off by {number(off_most)} decades at most",
            verdict,
        )

    def approaches(self, method: str, reference: str, source: str) -> Verdict:
        """Compare with the reference at the smallest and the largest ratio."""
        own = self.summary[self.summary["method"] == method]
        ratios = sorted(own[own["size"] == self.suite.size]["ratio"])
        sizes, known = [self.suite.size], self._default(reference)
        lowest, highest = (method, ratios[0]), (method, ratios[-1])
        first, last = self.over(sizes, lowest, known), self.over(sizes, highest, known)
        falls = self.over(sizes, highest, lowest)
        decided = (last.within(most=NEAR), falls.within(most=1.0))
        verdict = next((kind for kind in (NO, OPEN) if kind in decided), YES)
        return Verdict(
            f"the error of {method} approaches that of maximum likelihood as ν grows",
            source,
            self.name,
            f"at N = {self.suite.size} and the largest ν, the interval of the ratio is at most "
            f"{NEAR:g} (no: above it), and that of the error over the one at the smallest ν is "
            f"below 1 (no: above 1); not testable where theory predicts more than {NEAR:g} there",
            f"{first} times at ν = {ratios[0]}, {last} times at ν = {ratios[-1]}",
            verdict if last.theory <= NEAR else UNTESTABLE,
        )

    def better(self, method: str, other: str) -> Verdict:
        """Compare two methods over all large sizes."""
        found = self.over(self.large(method), self._default(method), self._default(other))
        dimension = self.suite.models[self.name].dataset.settings.get("dimension")
        published = "; the published case" if dimension == PUBLISHED else ""
        return Verdict(
            f"{method} beats {other} on the Gaussian",
            CEYLAN,
            self.name,
            f"for N ≥ {LARGE}, the interval of the geometric mean of its error over {other}'s is "
            f"below 1 (no: above 1); published for dimension {PUBLISHED}",
            f"{method} over {other}: {found} at {self.at(method, other)}{published}",
            found.within(most=1.0),
        )

    def tenfold(self, method: str, other: str) -> Verdict:
        """Average the ratio of two methods' errors over sizes, where theory allows the gain."""
        found = self.over(self.large(method), self._default(method), self._default(other))
        low, high = TENFOLD
        return Verdict(
            f"{other} is about ten times better than {method} on the ring",
            CEYLAN,
            self.name,
            f"for N ≥ {LARGE}, the interval of the geometric mean of {method}'s error over "
            f"{other}'s lies between {low:g} and {high:g} (no: outside); not testable where that "
            "of theory is not between them",
            f"{method} over {other}: {found} at {self.at(method, other)}",
            found.within(low, high) if low <= found.theory <= high else UNTESTABLE,
        )


def _mean_ratio(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Geometric mean over sizes, the first axis, of the ratio of medians over the last."""
    # Infinite over infinite is undefined.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.exp(np.log(_medians(first) / _medians(second)).mean(0))


def _line(sizes: list[int], errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit lines to the logarithms of medians: the slope, and how far each size is off."""
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log10(_medians(errors))
        x = np.log10(sizes).reshape(-1, *[1] * (y.ndim - 1))
        x = x - x.mean(0)
        y = y - y.mean(0)
        slope = (x * y).sum(0) / np.square(x).sum(0)
        return slope, y - slope * x


def _medians(errors: np.ndarray) -> np.ndarray:
    """Medians over the last axis, not interpolated: some errors are infinite."""
    return np.quantile(errors, 0.5, axis=-1, method="inverted_cdf")


def _interval(resampled: np.ndarray) -> np.ndarray:
    """Take the percentile interval over the last axis."""
    # One resample without a value leaves no interval: NaN decides nothing.
    return np.quantile(resampled, [0.025, 0.975], axis=-1, method="inverted_cdf")
