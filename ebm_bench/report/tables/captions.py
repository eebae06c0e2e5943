"""Captions of tables and figures: how they were made and how to read them."""

from collections.abc import Iterable

import numpy as np

from ebm_bench.records import ESCAPED_ABOVE
from ebm_bench.report.formatting import (
    WORDS,
    Quantity,
    amount,
    count,
    few,
    number,
    probability,
    quantity,
)
from ebm_bench.report.results import Results
from ebm_bench.report.rows import drawn_of, label
from ebm_bench.report.statistics import pairwise
from ebm_bench.report.statistics.friedman import RankTests
from ebm_bench.report.statistics.intervals import ALPHA, GEOMETRIC, INTERVAL
from ebm_bench.report.statistics.intervals import caution as few_replicates
from ebm_bench.report.statistics.pairwise import COMPARISONS

TIES = (
    "≈: not significantly different from the best by paired replicates, or not comparable "
    "because replicates are missing."
)
BY_PRODUCTS = "By-products of a method, in brackets, are not ranked."
_NAMED = 10  # methods or datasets in a sentence; the others are counted
_DAGGER = "†: trained to no regular end, or the value did not converge; the table states which."
ORDER = "Methods ranked on more datasets come first, so that a missing dataset never helps."
MARKS = (
    "2 of 3: only so many replicates have a finite value; not converged: the metric itself does "
    "not vouch for a value; ≥: which is no more than a lower bound; ≤: some replicate is no larger "
    "than what the evaluation can resolve, its own standard error, and counts as that; escaped: "
    f"more than {ESCAPED_ABOVE:.0%} of the model's mass is known to lie far from the data, and the "
    "replicate counts as failed."
)
_EDGES = "At an end: what was best at an end of the values that tuning tried; beyond may be better."
_FLOOR = ".smoothing_floor"  # part of a divergence
_UNKNOWN = (
    "none where the one that looks better failed in a replicate and the other did not, or where "
    "fewer than two replicates can be paired."
)
PAIRED = (
    "p: of the paired t test, corrected for the comparisons with the best (Holm), and no smaller "
    f"than that of the clearest pair corrected for all pairs; {_UNKNOWN}"
)
_ALL_PAIRS = f"p: of the paired t test; corrected: for all pairs of models (Holm); {_UNKNOWN}"


def caption(results: Results, dataset: str) -> str:
    """Describe the table of a dataset: replicates, budget, criterion, kind of interval."""
    spec = results.suite.datasets[dataset]
    about = quantity(spec.rank_by)
    return _join(
        f"{dataset}: {spec.replicates} replicates per method, {_budget(results, dataset)}.",
        _limited(results, dataset),
        data_statement(results, dataset),
        f"Ranked by {about.label} ({about.arrow}); the mean rank over replicates decides, and a "
        f"replicate that failed takes the last place. {BY_PRODUCTS}",
        _worse(results, dataset),
        power(results, dataset),
        TIES,
        f"{_difference(about)} {PAIRED}",
        f"In brackets: {_summaries(results, dataset)}; n: replicates with a finite value. {MARKS}",
        _floors(results, dataset),
        _last_quarter(results, dataset),
        "Training seconds are those of setting up and training all replicates together, energy "
        "evaluations those of one replicate, without densities of noises and flows.",
        _EDGES if results.suite.edges(dataset) else "",
        _machines(results, dataset),
        few_replicates(spec.replicates),
        COMPARISONS,
    )


def _worse(results: Results, dataset: str) -> str:
    """State what replicates are compared with, and whether the ranks of a dataset count."""
    found = results.baselines[dataset]
    controls, true = (" and ".join(names) for names in (found.controls, found.true))
    return _join(
        "Worse than idle controls: replicates that are worse than the better of the controls that "
        f"learn nothing ({controls})." if controls else "",
        f"Not compared with {true}, as good as the truth." if true else "",
        left_out(results, [dataset]),
    )  # fmt: skip


def left_out(results: Results, datasets: Iterable[str] | None = None) -> str:
    """State which datasets do not enter the average rank, and why; empty if all do."""
    names = [
        name for name in datasets or results.suite.datasets if results.baselines[name].unbeaten
    ]
    if not names:
        return ""
    controls = dict.fromkeys(c for name in names for c in results.baselines[name].controls)
    return (
        f"Not in the average rank: {few(names, _NAMED)}, where no method is better than the "
        f"controls that learn nothing ({', '.join(controls)}) in most of its replicates."
    )


def _last_quarter(results: Results, dataset: str) -> str:
    """State what the column of the last quarter shows; empty where no row has a value."""
    if all(np.isnan(row.trend.mean) for row in results.rows(dataset)):
        return ""
    about = quantity(results.suite.datasets[dataset].curve)
    kind = "factor" if about.scale == "log" else "difference"
    return (
        f"Last quarter: {kind} by which {about.label} improved over the last quarter of the steps, "
        "by the learning curves; still moving: by more than half the 95 % interval of its mean."
    )


def power(results: Results, dataset: str) -> str:
    """State how many pairs of a table differ significantly, and what could; empty for none."""
    pairs = results.comparisons[dataset]
    if pairs.empty:
        return ""
    about = quantity(results.suite.datasets[dataset].rank_by)
    least = pairwise.detectable(pairs, about.scale)
    counted = f"Of {len(pairs)} pairs {pairs['better'].sum()} are significantly different"
    if pairs["p"].isna().all():
        return f"{counted}; no pair can be compared, as too few replicates have both values."
    if np.isnan(least):
        return f"{counted}; no difference scatters over replicates."
    size = (
        f"a factor of {number(least)}"
        if about.scale == "log"
        else (f"a difference of {number(least)} {about.unit}".strip())
    )
    return f"{counted}; {size} would be found with 80 % power, for a pair of median scatter."


def _difference(about: Quantity) -> str:
    """State what the column of differences shows."""
    if about.scale == "log":
        return (
            "Difference: factor between the geometric means of that metric over the replicates "
            "that both have, by the best that has all."
        )
    return (
        "Difference: of that metric, mean over the replicates that both have, less the best that "
        "has all."
    )


def _summaries(results: Results, dataset: str) -> str:
    """State which metrics of a dataset are averaged on which scale."""
    shown = [quantity(metric) for metric in results.suite.datasets[dataset].metrics]
    positive = [about.label for about in shown if about.scale == "log"]
    if not positive:
        return f"the {INTERVAL}"
    others = f"; of all others, the {INTERVAL}" if len(positive) < len(shown) else ""
    return f"of {', '.join(positive)}, the {GEOMETRIC}{others}"


def _floors(results: Results, dataset: str) -> str:
    """State what the divergence of methods that smooth the data falls to; empty without them."""
    values = results.values[results.values["dataset"] == dataset].dropna(subset=["value"])
    values = values[values["metric"].str.endswith(_FLOOR)]
    if values.empty:
        return ""
    about = quantity(values["metric"].iloc[0].partition(".")[0]).label
    found = values.groupby("method", sort=False)["value"].first()
    listed = ", ".join(f"{method} {number(value)}" for method, value in found.items())
    return f"Floor of what learns the data under noise, {about} from data without: {listed}."


def paper_caption(results: Results, dataset: str) -> str:
    """Describe the table of a dataset in a paper: n, budget, criterion, intervals, bold."""
    spec = results.suite.datasets[dataset]
    positive = [q.label for q in map(quantity, spec.metrics) if q.scale == "log"]
    return _join(
        f"{dataset}: mean over n = {spec.replicates} replicates ± half its 95 % interval "
        f"(in brackets where it is not symmetric), after {_budget(results, dataset)}.",
        f"{', '.join(positive)}: geometric mean, interval on the log scale." if positive else "",
        _limited(results, dataset),
        data_statement(results, dataset),
        f"Ordered by {quantity(spec.rank_by).label} (mean rank over replicates). Bold: "
        "the best of each metric, with all that do not differ significantly from it by paired t "
        "tests (5 %, corrected for the comparisons with it by Holm), or cannot be compared because "
        "replicates are missing; not what did not converge. "
        "Below the rule: controls. Training: seconds of all replicates together; "
        "evaluations of the energy: of one.",
        _machines(results, dataset),
    )


def data_statement(results: Results, dataset: str) -> str:
    """State how points were made from the data, as the records of runs do."""
    found = (run.space for (name, _), run in results.runs.items() if name == dataset)
    stated = dict.fromkeys(filter(None, found))
    return f"Data: {'; '.join(stated)}." if stated else ""


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def figure_caption(results: Results, kind: str, datasets: list[str]) -> str:
    """Describe a figure for a paper.

    Parameters
    ----------
    results : Results
        Results that the figure shows.
    kind : str
        One of `files.figure_kinds`, ``"density grid"`` or ``"critical difference"``.
    datasets : list of str
        Datasets that the figure shows.
    """
    suite = results.suite
    ranked = dict.fromkeys(quantity(suite.datasets[name].rank_by).label for name in datasets)
    by, where = (
        " or ".join(ranked),
        " and ".join(datasets) if len(datasets) < 3 else f"{len(datasets)} datasets",
    )
    tests = results.rank_tests if kind == "critical difference" else None
    scale = "which ends at the highest density of the best control"
    body = {
        "densities": f"Learned densities on {where}, of one replicate: controls, then models by "
        f"rank, on one colour scale, {scale}. Beneath the names: {by}. {_DAGGER}",
        "density grid": "Learned densities, of one replicate. Each line, a dataset, has one "
        f"colour scale, {scale}; ×: no density.",
        "samples": f"Samples on {where}, of one replicate, beside data: controls, then models by "
        f"rank. Beneath the names: {by}. {_DAGGER}",
        "cost": f"Quality against cost on {where}: {by}, mean over replicates (geometric where "
        "values are positive) and 95 % interval, against the time of setting up and training all "
        "of them. No model on the Pareto front is beaten by a cheaper one. On the rim, hollow: "
        f"beyond the axis. {_DAGGER}",
        "curves": f"Learning curves on {where}. Line: median over replicates; band: their range; "
        "cross: a replicate failed; level lines: controls.",
        "critical difference": f"Average ranks on {len(results.counted)} datasets (1 is best); "
        f"bars join what is not significantly different. {verdict(tests) if tests else ''}".strip(),
    }[kind]
    shown = dict.fromkeys(drawn_of(results.rows(name)) for name in datasets)
    told = " or ".join(filter(None, shown)) if kind != "critical difference" else ""
    return _join(body, f"Shown: {told}." if told else "", _conditions(results, datasets))


def _conditions(results: Results, datasets: list[str]) -> str:
    """State replicates and budget, once for datasets that share them."""
    alike: dict[str, list[str]] = {}
    for name in datasets:
        n = results.suite.datasets[name].replicates
        alike.setdefault(f"n = {n} replicates, {_budget(results, name)}", []).append(name)
    if len(alike) == 1:
        return f"With {next(iter(alike))}."
    listed = "; ".join(f"{', '.join(names)}: {held}" for held, names in alike.items())
    return f"Conditions: {listed}."


def _budget(results: Results, dataset: str) -> str:
    budget = results.suite.datasets[dataset].budget
    return f"{budget.steps} steps of {budget.batch_size} points, at most {budget.seconds:g} s"


def pairs_caption(results: Results, dataset: str, most: int | None = None) -> str:
    """Describe the table of pairs, or of those of so many rows, the best."""
    spec = results.suite.datasets[dataset]
    kind = (
        "Factor: of the geometric mean of the first to that of the other"
        if quantity(spec.rank_by).scale == "log"
        else "Difference: of the first less the other, mean"
    )
    rows = len(results.rows(dataset))
    told_of = f"Of {rows} models the best {most}; the CSV file has all pairs."
    left = told_of if most is not None and rows > most else ""
    return _join(
        f"{dataset}: each two models, the one ranked better first, compared by "
        f"{quantity(spec.rank_by).label} replicate by replicate, on the same data draws.",
        left,
        f"{kind} over the n replicates in which both are finite, and in brackets its 95 % interval "
        "(Student t).",
        _ALL_PAIRS,
        "≈: not significantly different at a corrected level of 5 %.",
        power(results, dataset),
    )


def overall_caption(results: Results, ties: str = TIES) -> str:
    """Describe the table over all datasets, and how it shows ties."""
    suite, found = results.suite, results.rank_tests
    by = ", ".join(f"{name} by {quantity(s.rank_by).label}" for name, s in suite.datasets.items())
    equal = f", at equal {WORDS[results.unit]}" if results.unit else ""
    limits = ", ".join(
        f"{name} at {amount(limit.amount, results.unit)}" for name, limit in results.limits.items()
    )
    return _join(
        f"Ranks on the datasets of suite {suite.name}, version {suite.version}{equal} "
        f"({by}), and their average over the datasets where the method is ranked; equal "
        "ones share the average of their places.",
        limits and f"{limits}.",
        left_out(results),
        f"{ORDER} Controls are not ranked.",
        ties,
        f"Over all datasets: {verdict(found)}" if found else "",
        "" if results.unit else str(results.stability or ""),
    )


def certainty(found: RankTests | None, leader: tuple[str, str]) -> str:
    """State how sure it is that the first of the overall table, a (method, model), is the best.

    The tests compare only methods that are ranked on every dataset, among themselves: their
    best can be another than the leader.
    """
    if found is None:
        return "There are too few methods or datasets to test whether that is chance."
    if not found.decides:
        return "That is no proof: too few datasets for any two methods to differ significantly."
    alike = found.alike()
    best = leader if found.ranks.get(leader) == found.ranks.iloc[0] else alike[0]
    others = few([label(*key) for key in alike if key != best], _NAMED)
    stated = (
        f"not significantly different from it: {others}"
        if others
        else "it is significantly different from all others"
    )
    if best != leader:  # which takes that some are left out
        stated = f"{label(*best)} is first, and {stated}"
    if found.left_out:
        stated = f"among the methods ranked on every dataset, {stated}"
    return f"{stated[0].upper()}{stated[1:]}."


def verdict(found: RankTests) -> str:
    """State what the tests found, and whether there were enough datasets to find anything."""
    p = probability(found.p, "p")
    sentences = [
        f"Friedman: χ² = {found.statistic:.2f}, {p}: "
        + ("not all methods are alike." if found.p < ALPHA else "no difference is found."),
        f"Nemenyi: critical difference {found.critical_difference:.2f} at 5 % for all pairs.",
    ]
    if found.decides and not (found.pairs < ALPHA).any(axis=None):
        sentences.append("No two methods are significantly different.")
    if not found.decides:
        sentences.append(
            f"{found.datasets} datasets are too few: even a method that is first on all of them "
            "would not differ significantly from one that is last."
        )
    if found.left_out:
        names = few([label(*key) for key in found.left_out], _NAMED)
        sentences.append(f"Left out, as not ranked on every dataset: {names}.")
    return " ".join(sentences)


def _machines(results: Results, dataset: str) -> str:
    """State which seconds are comparable; empty where all of a dataset are."""
    compared = results.timed_on(dataset)
    if not compared:
        return ""
    used = {results.machine(dataset, method) for method in results.suite.methods_of(dataset)}
    listed = "; ".join(f"{mark}: {name}" for mark, name in results.machines.items() if mark in used)
    return (
        f"Seconds of different machines are not to be compared ({listed}): at equal seconds and "
        f"against time only those of {compared} are shown. Steps and energy evaluations compare."
    )


def _limited(results: Results, dataset: str) -> str:
    """State the common budget at which a dataset is shown; empty at the end of training."""
    if not results.unit:
        return ""
    limit = results.limits.get(dataset)
    if limit is None:
        return "No method was trained without failing, so that there is no common budget."
    return (
        f"Shown at equal {WORDS[results.unit]}: {amount(limit.amount, results.unit)}, the most "
        f"that every method reached ({limit.method} ended there). Values are read from the "
        "learning curves, which do not tell whether a value converged, between two of their points "
        "along the logarithm of the step. The "
        "learning rate falls over all steps of a training: what is stopped before its end is "
        "measured while the rate is still high. A replicate counts as failed if it failed within "
        f"that budget. Controls stand at their end.{_noises(results, dataset)}"
    )


def _noises(results: Results, dataset: str) -> str:
    """State what energy evaluations leave out, where these are the budget."""
    if results.unit != "evaluations":
        return ""
    spent = {
        method: run.cost.noise_evaluations
        for (name, method), run in results.runs.items()
        if name == dataset and run.cost.noise_evaluations
    }
    listed = ", ".join(f"{method} {count(points)}" for method, points in spent.items())
    each = f", per replicate: {listed}" if listed else ""
    return (
        " Counted are points at which the energy or its gradient is computed, and not those at "
        f"which a noise or a flow beside it is{each}."
    )
