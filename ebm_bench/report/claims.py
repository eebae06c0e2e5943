"""Published claims on estimation, checked one by one by a stated criterion."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ebm_bench.estimation_suite import EstimationSuite
from ebm_bench.report.wording import number

GUTMANN, CEYLAN = "Gutmann and Hyvärinen 2012", "Ceylan and Gutmann 2018"
NCE, CNCE = "noise_contrastive", "conditional_noise_contrastive"
# Below, theory for large samples is not expected to hold.
LARGE = 500
# Of the slope in a log-log plot; how near to the reference is near; about ten times.
SLOPE, NEAR, TENFOLD = 0.15, 1.1, (5.0, 20.0)


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim on one model.

    Attributes
    ----------
    claim, source, model, criterion : str
        What was claimed, by whom, where it is checked, and when it counts as reproduced.
    measured : str
        The numbers that decide.
    reproduced : bool
        Whether they meet the criterion.
    """

    claim: str
    source: str
    model: str
    criterion: str
    measured: str
    reproduced: bool


def check(suite: EstimationSuite, summary: pd.DataFrame) -> list[Verdict]:
    """Check every claim on every model that it speaks of.

    Parameters
    ----------
    suite : EstimationSuite
        What was compared. Claims on methods or models that are not there are left out.
    summary : DataFrame
        As `report.estimation.summarise` gives it.
    """
    by = {spec.objective: method for method, spec in suite.methods.items()}
    reference = next((m for m, spec in suite.methods.items() if spec.reference), None)
    verdicts = []
    for model, spec in suite.models.items():
        own = _Model(suite, summary[summary["model"] == model], model)
        for objective, source in ((NCE, GUTMANN), (CNCE, CEYLAN)):
            if objective in by:
                verdicts.append(own.linear(by[objective], source))
                if reference:
                    verdicts.append(own.approaches(by[objective], reference, source))
        if {NCE, CNCE} <= by.keys() and spec.dataset.name == "gaussian":
            verdicts.append(own.better(by[NCE], by[CNCE]))
        if {NCE, CNCE} <= by.keys() and spec.dataset.name == "ring":
            verdicts.append(own.tenfold(by[NCE], by[CNCE]))
    return sorted(verdicts, key=lambda v: (v.source != GUTMANN, v.claim))


def render(suite: EstimationSuite, verdicts: list[Verdict]) -> str:
    """Write the claims as Markdown."""
    table = pd.DataFrame(
        {
            "Reproduced": ["yes" if v.reproduced else "no" for v in verdicts],
            "Claim": [v.claim for v in verdicts],
            "Source": [v.source for v in verdicts],
            "Model": [v.model for v in verdicts],
            "Measured": [v.measured for v in verdicts],
        }
    )
    criteria = {v.claim: v.criterion for v in verdicts}
    found = sum(v.reproduced for v in verdicts)
    return "\n".join(
        [
            f"{found} of {len(verdicts)} checks of published claims are reproduced "
            f"(suite {suite.name}, version {suite.version}, {suite.data_sets} data sets each; "
            "errors are medians of squared errors).",
            "",
            table.to_markdown(index=False, disable_numparse=True),
            "",
            "When a claim counts as reproduced:",
            "",
            *(f"- {claim}: {criterion}." for claim, criterion in criteria.items()),
            "",
        ]
    )


@dataclass(frozen=True)
class _Model:
    suite: EstimationSuite
    summary: pd.DataFrame
    name: str

    def by_size(self, method: str) -> pd.Series:
        """Median errors of large data sets by size, at the default ratio."""
        own = self.summary[self.summary["method"] == method]
        own = own[(own["ratio"] == self.suite.ratio_of(method)) & (own["size"] >= LARGE)]
        return own.set_index("size")["median"].sort_index()

    def by_ratio(self, method: str) -> pd.Series:
        """Median errors by ratio, at the default size."""
        own = self.summary[self.summary["method"] == method]
        return own[own["size"] == self.suite.size].set_index("ratio")["median"].sort_index()

    def linear(self, method: str, source: str) -> Verdict:
        """Fit a line to the logarithms."""
        errors = self.by_size(method)
        slope = residual = np.nan
        if np.isfinite(errors).all() and len(errors) > 1:
            x, y = np.log10(errors.index.to_numpy(float)), np.log10(errors.to_numpy())
            slope, start = np.polyfit(x, y, 1)
            residual = np.abs(y - slope * x - start).max()
        return Verdict(
            f"the error of {method} falls linearly with N in a log-log plot",
            source,
            self.name,
            f"for N ≥ {LARGE}, the slope is −1 ± {SLOPE:g} and no point is off the line by more "
            f"than {SLOPE:g} decades",
            f"slope {number(slope)}, off by {number(residual)} decades at most",
            bool(abs(slope + 1) <= SLOPE and residual <= SLOPE),
        )

    def approaches(self, method: str, reference: str, source: str) -> Verdict:
        """Compare with the reference at the smallest and the largest ratio."""
        errors = self.by_ratio(method) / self.by_ratio(reference).iloc[0]
        first, last = errors.iloc[0], errors.iloc[-1]
        low, high = errors.index[0], errors.index[-1]
        return Verdict(
            f"the error of {method} approaches that of maximum likelihood as ν grows",
            source,
            self.name,
            f"at N = {self.suite.size} and the largest ν it is at most {NEAR:g} times as large, "
            "and nearer than at the smallest ν",
            f"{number(first)} times at ν = {low}, {number(last)} times at ν = {high}",
            bool(last <= NEAR and last < first),
        )

    def better(self, method: str, other: str) -> Verdict:
        """Compare two methods at every size."""
        errors = (self.by_size(other) / self.by_size(method)).to_numpy()
        return Verdict(
            f"{method} beats {other} on the Gaussian",
            CEYLAN,
            self.name,
            f"for every N ≥ {LARGE}, its error is smaller",
            f"{other} over {method}: {number(np.min(errors))} to {number(np.max(errors))}",
            bool((errors > 1).all()),
        )

    def tenfold(self, method: str, other: str) -> Verdict:
        """Average the ratio of two methods' errors over sizes."""
        errors = (self.by_size(method) / self.by_size(other)).to_numpy()
        mean = float(np.prod(errors) ** (1 / len(errors)))
        low, high = TENFOLD
        return Verdict(
            f"{other} is about ten times better than {method} on the ring",
            CEYLAN,
            self.name,
            f"for N ≥ {LARGE}, the geometric mean of {method}'s error over {other}'s lies between "
            f"{low:g} and {high:g}",
            f"{method} over {other}: {number(mean)}",
            low <= mean <= high,
        )
