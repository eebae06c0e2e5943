"""Value axes that one catastrophic value does not flatten."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ebm_bench.report.wording import number

REACH = 1.5  # beyond the middle half of the values, in widths of it (Tukey 1977)


def fit_axis(
    axis: Axes, values: Sequence[float], higher_is_better: bool, frame: Sequence[float] = ()
) -> None:
    """Choose scale and limits of the y axis.

    Logarithmic for errors, where lower is better, that are positive and span more than a
    factor of five. Values far worse than the middle half stay outside: `whereabouts` tells
    them.

    Parameters
    ----------
    axis : Axes
        Where to set them.
    values : sequence of float
        What is to be seen; those that are not finite are passed over.
    higher_is_better : bool
        The direction of good values.
    frame : sequence of float
        What is to be seen too where that does not more than double the range to a side.
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
    limits = np.array([low - margin, high + margin])
    axis.set_ylim(10**limits if logarithmic else limits)
    if logarithmic:
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)


def fit_cost_axis(axis: Axes) -> None:
    """Make the x axis logarithmic, where anything is drawn that such an axis can show."""
    if np.isfinite(axis.dataLim.minposx):
        axis.set_xscale("log")
        _plain_ticks(axis.xaxis)


def whereabouts(axis: Axes, value: float) -> str:
    """Say where a value lies that the axis does not reach; empty where it does."""
    low, high = axis.get_ylim()
    if not np.isfinite(value) or low <= value <= high:
        return ""
    return f" ({number(value)}, {'above' if value > high else 'below'} the axis)"


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis by plain numbers, more of them where it is short."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 300 * low else (1,)
    axis.set_major_locator(LogLocator(10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
