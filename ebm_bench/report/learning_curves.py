"""Learning curves of runs as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ebm_bench.records import FAILED, Run


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Learning curve of a run, measured at the same n steps in each of R replicates.

    Attributes
    ----------
    steps, seconds, evaluations : ndarray of shape (n,)
        Optimiser steps so far, and the seconds and energy evaluations that they took.
    values : ndarray of shape (R, n)
        Metric of each replicate, in the order of the run's outcomes. NaN where it was not
        measured, and after the step at which the replicate failed.
    failed : ndarray of shape (R,)
        Whether each replicate failed, at its last step or before.
    """

    steps: np.ndarray
    seconds: np.ndarray
    evaluations: np.ndarray
    values: np.ndarray
    failed: np.ndarray

    @property
    def finite(self) -> np.ndarray:
        """Values, with NaN for what is not finite."""
        return np.where(np.isfinite(self.values), self.values, np.nan)


_SPENT = ("seconds", "energy_evaluations")
_NONE = np.empty(0)
EMPTY = LearningCurve(_NONE, _NONE, _NONE, np.empty((0, 0)), np.empty(0, bool))


def collect(
    runs: Mapping[tuple[str, str], Run], table: pd.DataFrame
) -> dict[tuple[str, str], LearningCurve]:
    """Build the learning curve of each run.

    Parameters
    ----------
    runs : dict of (dataset, method) to Run
        Runs of a suite.
    table : DataFrame
        Collected curves, with the columns ``dataset``, ``method`` and those of a `CurvePoint`.
    """
    found = dict(iter(table.groupby(["dataset", "method"], sort=False)))
    return {key: _curve(run, found[key]) if key in found else EMPTY for key, run in runs.items()}


def interpolated(steps: np.ndarray, values: np.ndarray, step: float) -> float:
    """Interpolate a curve at a step; before the first step it is the untrained model's value."""
    if step < 1:
        return float(values[0])
    trained = steps > 0
    return float(np.interp(np.log(step), np.log(steps[trained]), values[trained]))


def _curve(run: Run, table: pd.DataFrame) -> LearningCurve:
    # By arrays: of thousands of runs, pandas would take most of the time of loading.
    along = table["step"].to_numpy()
    steps, first = np.unique(along, return_index=True)
    rows = {outcome.replicate: place for place, outcome in enumerate(run.outcomes)}
    values = np.full((len(rows), len(steps)), np.nan)
    measured = zip(table["replicate"], np.searchsorted(steps, along), table["value"], strict=True)
    for replicate, column, value in reversed(list(measured)):  # the first of a place counts
        if replicate in rows:
            values[rows[replicate], column] = value
    failed = np.array([o.status in FAILED for o in run.outcomes])
    last = np.where(failed, [o.step for o in run.outcomes], np.inf)
    values = np.where(steps > last[:, None], np.nan, values)
    seconds, evaluations = (table[name].to_numpy()[first] for name in _SPENT)
    return LearningCurve(steps, seconds.astype(float), evaluations, values, failed)
