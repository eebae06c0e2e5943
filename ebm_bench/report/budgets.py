"""Results at equal budgets: what each method had learned by a common point.

Learning curves are measured at few steps, spaced evenly in their logarithm. To take the last
of them within a budget would cut the budget of some methods to a fraction of what others get,
depending on the spacing; so values between two points are interpolated, linearly in the
logarithm of the step. There is no extrapolation.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from ebm_bench.records import Outcome, Run
from ebm_bench.report.files import UNITS
from ebm_bench.report.results import COLUMNS, Limit, Results
from ebm_bench.report.statistics.replicates import FAILED
from ebm_bench.report.wording import amount

COLUMN = {"steps": "step", "seconds": "seconds", "evaluations": "energy_evaluations"}


def at_all(results: Results) -> list[Results]:
    """View results at the end of training, then at an equal budget of each of `UNITS`."""
    return [results, *(at_equal(results, unit) for unit in UNITS)]


def at_equal(results: Results, unit: str) -> Results:
    """View results as if the training of every method had been stopped at a common budget.

    The budget is the largest that every competing method of the dataset reached; one that
    took no step, or of which all replicates failed, does not count. Each dataset is ranked
    by the metric that its curves follow. A replicate has failed if the budget reaches beyond
    the last point of its curve before it did so; it ended well if not. A method whose set-up
    alone takes more than the budget has no value and no rank. Nor has, at equal seconds, one
    that was timed on another machine than most of its competitors. Controls stand at their
    end. By-products are not followed by curves and are not shown.

    Parameters
    ----------
    results : Results
        At the end of training.
    unit : str
        ``"steps"``, ``"seconds"`` of setting up and training all replicates together, or
        energy ``"evaluations"`` per replicate.

    Returns
    -------
    Results
        With the runs' cost and steps within that budget.
    """
    suite = results.suite
    datasets = {
        name: spec.model_copy(
            update={
                "rank_by": spec.curve,
                "metrics": {spec.curve: spec.metrics.get(spec.curve, {})},
            }
        )
        for name, spec in suite.datasets.items()
    }
    curves = curves_of(results)
    limits = {}
    for dataset in suite.datasets:
        reached = {
            method: float(curve[COLUMN[unit]].max())
            for (name, method), curve in curves.items()
            if name == dataset
            and _counts(results.runs[name, method], curve, COLUMN[unit])
            and not (unit == "seconds" and results.timed_apart(dataset, method))
        }
        if reached:
            last = min(reached, key=reached.__getitem__)
            limits[dataset] = Limit(reached[last], last)
    runs, values, unstarted = {}, [], {}
    for (dataset, method), run in results.runs.items():
        if unit == "seconds" and not run.control and results.timed_apart(dataset, method):
            runs[dataset, method] = run
            on = results.machine(dataset, method)
            unstarted[dataset, method] = f"timed on {on}, not to be compared"
            continue
        limit = limits.get(dataset)
        spent = np.inf if run.control or limit is None else limit.amount
        curve, key = curves[dataset, method], (dataset, method)
        first = curve[COLUMN[unit]].min()
        runs[key], found = _stopped(run, curve, COLUMN[unit], max(spent, first))
        if spent < first:
            unstarted[key] = f"not started: set-up alone takes {amount(first, unit)}"
            continue
        metric = suite.datasets[dataset].curve
        values += [
            dict(zip(COLUMNS, (*key, "energy", metric, r, status, value, np.nan), strict=True))
            for r, status, value in found
        ]
    return replace(
        results,
        suite=suite.model_copy(update={"datasets": datasets}),
        runs=runs,
        values=pd.DataFrame(values, columns=COLUMNS),
        unit=unit,
        limits=limits,
        unstarted=unstarted,
    )


def curves_of(results: Results) -> dict[tuple[str, str], pd.DataFrame]:
    """Take the curve of each run in the order of its steps; empty where it has none."""
    table = results.curves.sort_values("step", kind="stable")
    found = dict(iter(table.groupby(["dataset", "method"], sort=False)))
    return {key: found.get(key, table.iloc[:0]) for key in results.runs}


def _counts(run: Run, curve: pd.DataFrame, column: str) -> bool:
    """Whether a run counts for the common budget."""
    survived = any(outcome.status not in FAILED for outcome in run.outcomes)
    return not run.control and survived and bool((curve[["step", column]].max() > 0).all())


def _stopped(run: Run, curve: pd.DataFrame, column: str, budget: float) -> tuple[Run, list]:
    """Stop a run at a budget: its record, and (replicate, status, value) of each replicate.

    The cost of a step is the same throughout, so that cost is linear in the steps.
    """
    points = curve.drop_duplicates("step")
    at = points["step"].to_numpy(float)
    # Rounding must not take away a step that was measured.
    step = np.floor(round(np.interp(budget, points[column], at), 6)) if len(at) else 0.0
    beyond = bool(budget > points[column].max())
    outcomes, found = [], []
    for outcome in run.outcomes:
        own = curve[curve["replicate"] == outcome.replicate]
        failed = outcome.status in FAILED
        if failed:
            own = own[own["step"] <= outcome.step]
            failed = own.empty or beyond or bool(step > own["step"].max())
        kept = failed or (outcome.status == "timeout" and beyond)
        status = outcome.status if kept else "ok"
        ended = outcome.step if failed else int(step)
        outcomes.append(Outcome(replicate=outcome.replicate, status=status, step=ended))
        unknown = failed or own.empty
        found.append((outcome.replicate, status, np.nan if unknown else _value(own, step)))
    if not len(at):
        return run.model_copy(update={"outcomes": outcomes}), found
    seconds, evaluations = (
        float(np.interp(step, at, points[name])) for name in ("seconds", "energy_evaluations")
    )
    spent = {
        "train_seconds": max(seconds - run.cost.setup_seconds, 0.0),
        "energy_evaluations": round(evaluations),
    }
    cost = run.cost.model_copy(update=spent)
    return run.model_copy(update={"outcomes": outcomes, "cost": cost}), found


def _value(curve: pd.DataFrame, step: float) -> float:
    """Read a curve at a step; before the first step it is the untrained model's."""
    if step < 1:
        return float(curve["value"].iloc[0])
    trained = curve[curve["step"] > 0]
    x = np.log(trained["step"].to_numpy(float))
    return float(np.interp(np.log(step), x, trained["value"].to_numpy(float)))
