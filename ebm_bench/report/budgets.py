"""Results at equal budgets: what each method had learned by a common point.

Learning curves are measured at few steps, spaced evenly in their logarithm. To take the last
of them within a budget would cut the budget of some methods to a fraction of what others get,
depending on the spacing; so values between two points are interpolated, linearly in the
logarithm of the step. There is no extrapolation.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from ebm_bench.records import FAILED, Outcome, Run, Status
from ebm_bench.records.collection import MEASURED
from ebm_bench.report.files import UNITS
from ebm_bench.report.formatting import amount
from ebm_bench.report.learning_curves import LearningCurve, interpolated
from ebm_bench.report.results import Limit, Results


def at_all(results: Results) -> list[Results]:
    """View results at the end of training, then at an equal budget of each of `UNITS`."""
    return [results, *(at_equal(results, unit) for unit in UNITS)]


def at_equal(results: Results, unit: str) -> Results:
    """View results as if the training of every method had been stopped at a common budget.

    The budget is the largest that every competing method of the dataset reached; one that
    took no step, or of which all replicates failed, does not count. Each dataset is ranked
    by the metric that its curves follow. A replicate has failed if the budget reaches beyond
    the last point of its curve before it did so; it ended well if not. That one has escaped is
    known at its end alone. A method whose set-up
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
    limits = {}
    for dataset in suite.datasets:
        reached = {
            method: float(getattr(curve, unit).max())
            for (name, method), curve in results.curves.items()
            if name == dataset
            and _counts(results, (name, method), unit)
            and not (unit == "seconds" and results.timed_apart(dataset, method))
        }
        if reached:
            last = min(reached, key=reached.__getitem__)
            limits[dataset] = Limit(reached[last], last)
    runs, values, unstarted = {}, [], {}
    for key, run in results.runs.items():
        run = run.model_copy(update={"outcomes": results.outcomes(*key)})
        if unit == "seconds" and not run.control and results.timed_apart(*key):
            runs[key] = run
            unstarted[key] = f"timed on {results.machine(*key)}, not to be compared"
            continue
        dataset, curve = key[0], results.curves[key]
        limit, along = limits.get(dataset), getattr(curve, unit)
        spent = np.inf if run.control or limit is None else limit.amount
        first = along.min() if len(along) else -np.inf
        runs[key], found = _stopped(run, curve, unit, max(spent, first))
        if spent < first:
            unstarted[key] = f"not started: set-up alone takes {amount(first, unit)}"
            continue
        metric = suite.datasets[dataset].curve
        values += [(*key, "energy", metric, *measured, np.nan) for measured in found]
    return replace(
        results,
        suite=suite.model_copy(update={"datasets": datasets}),
        runs=runs,
        values=pd.DataFrame(values, columns=MEASURED),
        unit=unit,
        limits=limits,
        unstarted=unstarted,
    )


def _counts(results: Results, key: tuple[str, str], unit: str) -> bool:
    """Whether a run counts for the common budget."""
    run, curve = results.runs[key], results.curves[key]
    survived = any(outcome.status not in FAILED for outcome in results.outcomes(*key))
    started = all(x.max(initial=0) > 0 for x in (curve.steps, getattr(curve, unit)))
    return not run.control and survived and started


def _stopped(
    run: Run, curve: LearningCurve, unit: str, budget: float
) -> tuple[Run, list[tuple[int, Status, float]]]:
    """Stop a run at a budget: its record, and (replicate, status, value) of each replicate.

    The cost of a step is the same throughout, so cost is linear in the number of steps.
    """
    along = getattr(curve, unit)
    measured = len(curve.steps) > 0
    # Rounding must not take away a step that was measured.
    step = np.floor(round(np.interp(budget, along, curve.steps), 6)) if measured else 0.0
    beyond = measured and bool(budget > along.max())
    outcomes, found = [], []
    for i, outcome in enumerate(run.outcomes):
        failed = outcome.status in FAILED
        if failed:
            before = curve.steps[curve.steps <= outcome.step]
            failed = beyond or bool(step > before.max(initial=-1)) or step >= outcome.step
        kept = failed or (outcome.status == "timeout" and beyond)
        status = outcome.status if kept else "ok"
        ended = outcome.step if failed else int(step)
        outcomes.append(Outcome(replicate=outcome.replicate, status=status, step=ended))
        value = (
            interpolated(curve.steps, curve.values[i], step) if measured and not failed else np.nan
        )
        found.append((outcome.replicate, status, value))
    if not measured:
        return run.model_copy(update={"outcomes": outcomes}), found
    seconds = float(np.interp(step, curve.steps, curve.seconds))
    spent = {
        "train_seconds": max(seconds - run.cost.setup_seconds, 0.0),
        "energy_evaluations": round(np.interp(step, curve.steps, curve.evaluations)),
    }
    if run.cost.noise_evaluations:
        share = step / max(curve.steps.max(), 1)
        spent["noise_evaluations"] = round(share * run.cost.noise_evaluations)
    cost = run.cost.model_copy(update=spent)
    return run.model_copy(update={"outcomes": outcomes, "cost": cost}), found
