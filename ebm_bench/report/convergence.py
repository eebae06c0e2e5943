"""Whether longer training would change a result: how much it still did in the last quarter."""

from dataclasses import dataclass

import numpy as np

from ebm_bench.report.columns import Cell, Interval, Notation, Value, cell_of
from ebm_bench.report.learning_curves import LearningCurve, interpolated
from ebm_bench.report.statistics.intervals import student
from ebm_bench.report.statistics.scales import Scale, from_scale, on_scale

FROM = 0.75  # share of the steps after which the last quarter begins
EARLIEST = 0.5  # share of the steps: a point before is too far to interpolate from


@dataclass(frozen=True)
class Trend(Value):
    """How much a metric improved over the last quarter of training; missing if not measured.

    Attributes
    ----------
    mean, low, high : float
        Mean improvement over replicates with its 95 % interval; on the log scale a factor.
    factor : bool
        Whether these are factors.
    moving : bool
        Whether the mean change is larger than half the width of the 95 % interval of the mean at
        the end of training.
    """

    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    factor: bool = False
    moving: bool = False

    def cell(self, notation: Notation) -> Cell:
        """Write ``× 1.12 [1.02, 1.24]``."""
        if np.isnan(self.mean):
            return cell_of(None, notation)
        before = "× " if self.factor else ""
        return Interval(self.mean, self.low, self.high, before).cell(notation)


def last_quarter(curve: LearningCurve, scale: Scale, higher_is_better: bool = False) -> Trend:
    """Find how much a metric improved over the last quarter of training.

    Values between two points are interpolated linearly in the logarithm of the step.

    Parameters
    ----------
    curve : LearningCurve
        Learning curve of a run.
    scale : {"linear", "log"}
        Scale on which the metric is averaged.
    higher_is_better : bool, optional
        Direction of the metric.

    Returns
    -------
    Trend
        Of the replicates that did not fail. Missing without training, without such a replicate
        that is finite at both ends, and without a point of the curve in the second half of the
        steps before the last.
    """
    last = curve.steps.max(initial=0)
    within = (curve.steps >= EARLIEST * last) & (curve.steps < last)
    if last == 0 or not within.any():
        return Trend()
    values = curve.values[~curve.failed]
    scaled = on_scale(values, np.full(values.shape, np.nan), scale)[0]
    before = np.array([interpolated(curve.steps, own, FROM * last) for own in scaled])
    end = scaled[:, -1]
    both = np.isfinite(before) & np.isfinite(end)
    if not both.any():
        return Trend()
    gain = (before - end)[both] * (-1 if higher_is_better else 1)
    low, high = student(end[both])
    moving = bool(abs(gain.mean()) > (high - low) / 2)
    mean, *ends = (float(from_scale(x, scale)) for x in (gain.mean(), *student(gain)))
    return Trend(mean, ends[0], ends[1], scale == "log", moving)
