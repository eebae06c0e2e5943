"""Controls that learn nothing, and what is worse than they are.

A fitted Gaussian and an untrained energy show what a table is worth: a replicate that is worse has
been harmed by its training, and a dataset on which no method is better ranks noise. Where the data
are Gaussian, the fitted one is the truth: nothing can beat it, and nothing is compared with it.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ebm_bench import registry
from ebm_bench.report.formatting import quantity
from ebm_bench.report.statistics.intervals import FAILED, ROW
from ebm_bench.suites.suite import Suite

# Share of the way from the truth to the worst of these controls below which one is as good as the
# truth: errors of fitted moments, and of the metric, are of this size.
TRUE_BELOW = 0.01


@dataclass(frozen=True)
class Baseline:
    """How the methods of a dataset compare with its controls that learn nothing.

    Attributes
    ----------
    controls : list of str
        Controls that methods are compared with: those that were measured, without `true`.
    true : list of str
        Controls that are as good as the truth, as their family has it.
    worse : dict of (method, model) to int
        Number of replicates of each ranked model that did not fail and are worse than the better of
        these controls in the same replicate. Empty without controls.
    unbeaten : bool
        Whether there are controls, and no ranked model is better than the better of them in more
        than half of its replicates. False where nothing is ranked.
    """

    controls: list[str] = field(default_factory=list)
    true: list[str] = field(default_factory=list)
    worse: dict[tuple[str, str], int] = field(default_factory=dict)
    unbeaten: bool = False


def idle(suite: Suite, dataset: str) -> list[str]:
    """List the controls of a dataset that learn nothing from it but moments."""
    known = truths(suite, dataset)
    return [
        method
        for method in _untrained(suite, dataset)
        if method not in known and not _energy(suite, dataset, method).learns
    ]


def truths(suite: Suite, dataset: str) -> list[str]:
    """List the controls of a dataset that have its density."""
    return [
        method
        for method in _untrained(suite, dataset)
        if "log_prob" in _energy(suite, dataset, method).needs
    ]


def _energy(suite: Suite, dataset: str, method: str) -> registry.EnergyEntry:
    return registry.describe("energies", suite.energy_of(dataset, method).name)


def _untrained(suite: Suite, dataset: str) -> list[str]:
    return [
        method
        for method in suite.methods_of(dataset)
        if (spec := suite.methods[method]).control
        and not registry.describe("objectives", spec.objective).trains
    ]


def find(suite: Suite, values: pd.DataFrame, dataset: str) -> Baseline:
    """Compare the ranked models of a dataset with controls that learn nothing, by its criterion.

    Parameters
    ----------
    suite, values
        As those of `results.Results`.
    dataset : str
        Dataset of the suite.
    """
    metric = suite.datasets[dataset].rank_by
    own = values.query("dataset == @dataset and metric == @metric and model == 'energy'")
    sign = -1 if quantity(metric).higher_is_better else 1
    usable = ~own["status"].isin(FAILED) & np.isfinite(own["value"].astype(float))
    losses = own.assign(loss=(sign * own["value"].astype(float)).where(usable))
    means = losses[usable].groupby("method", sort=False)["loss"].mean()
    true = _as_good_as(means.reindex(truths(suite, dataset)).min(), means, idle(suite, dataset))
    compared = set(idle(suite, dataset)) - set(true)
    controls = losses[losses["method"].isin(compared) & usable]
    best = controls.groupby("replicate")["loss"].min()
    competing = [name for name, spec in suite.methods.items() if not spec.control]
    ranked = losses[losses["method"].isin(competing)]
    if best.empty or ranked.empty:
        return Baseline(true=true)
    level = ranked["replicate"].map(best)
    counts = pd.DataFrame(
        {
            "worse": ranked["loss"] > level,
            "better": ranked["loss"] < level,
            "method": ranked["method"],
            "model": ranked["model"],
        }
    ).groupby(ROW)
    better = counts["better"].mean()
    return Baseline(
        list(dict.fromkeys(controls["method"])),
        true,
        counts["worse"].sum().to_dict(),
        bool((better <= 0.5).all()),
    )


def _as_good_as(truth: float, losses: pd.Series, controls: list[str]) -> list[str]:
    """List the controls that are hardly worse than the truth; none where its loss is not known."""
    excess = losses.reindex(controls) - truth
    if excess.isna().all():
        return []
    return list(excess.index[excess <= TRUE_BELOW * max(excess.max(), 0.0)])
