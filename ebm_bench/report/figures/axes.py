"""Scales and limits of axes, robust against one extreme value."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ebm_bench.report.formatting import number

REACH = 1.5  # beyond the middle half of the values, in widths of it (Tukey 1977)
SECONDS = "set-up and training of all replicates together [s]"  # label of a cost axis


def fit_axis(
    axis: Axes, values: Sequence[float], higher_is_better: bool, frame: Sequence[float] = ()
) -> None:
    """Choose scale and limits of the y axis.

    The axis is logarithmic for errors (lower is better) that are positive and span more than a
    factor of five. Values far worse than the middle half lie outside; see `whereabouts`.

    Parameters
    ----------
    axis : Axes
        Panel whose y axis is set.
    values : sequence of float
        Values to show; those that are not finite are ignored.
    higher_is_better : bool
        Whether higher values are better.
    frame : sequence of float
        Values that are also shown if that at most doubles the range to a side.
    """
    finite = np.asarray([v for v in values if np.isfinite(v)], float)
    if not len(finite):
        return
    logarithmic = not higher_is_better and finite.max() > 5 * finite.min() > 0
    x = np.log10(finite) if logarithmic else finite
    lower, upper = np.percentile(x, [25, 75])
    reach = REACH * (upper - lower) or np.inf
    kept = x[x >= lower - reach] if higher_is_better else x[x <= upper + reach]
    low, high = kept.min(), kept.max()
    known = [v for v in frame if np.isfinite(v) and (v > 0 or not logarithmic)]
    levels = np.log10(known) if logarithmic else np.asarray(known)
    near = [v for v in levels if low - (high - low) <= v <= high + (high - low)]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    axis.set_ylim((10**low, 10**high) if logarithmic else (low, high))
    if logarithmic:
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)


def fit_cost_axis(axis: Axes) -> None:
    """Make the x axis logarithmic, if anything drawn is positive."""
    if np.isfinite(axis.dataLim.minposx):
        axis.set_xscale("log")
        _plain_ticks(axis.xaxis)


def whereabouts(axis: Axes, value: float) -> str:
    """Describe where a value beyond the y axis lies; empty for one within it."""
    low, high = axis.get_ylim()
    if not np.isfinite(value) or low <= value <= high:
        return ""
    return f" ({number(value)}, {'above' if value > high else 'below'} the axis)"


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, more densely if it is short."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 300 * low else (1,)
    axis.set_major_locator(LogLocator(10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
