"""Learning curves."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.figures.axes import SECONDS, fit_axis, fit_cost_axis, whereabouts
from ebm_bench.report.figures.style import legend_of, look
from ebm_bench.report.formatting import quantity
from ebm_bench.report.learning_curves import EMPTY, LearningCurve
from ebm_bench.report.results import Results
from ebm_bench.report.rows import Row, drawn, drawn_of


def curves(results: Results, dataset: str) -> Figure:
    """Draw learning curves against steps and against seconds.

    The line is the median over the replicates that are still being trained, the band their
    range; a cross marks where a replicate failed.

    Returns
    -------
    Figure
        Two panels with one legend.
    """
    figure = Figure(figsize=(10, 4.4))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, against in zip(axes, ("steps", "seconds"), strict=True):
        draw_curves(axis, results, dataset, against)
    axes[0].set(xlabel="optimiser steps")
    axes[1].set(xlabel=SECONDS, ylabel="")
    note = drawn_of(results.rows(dataset))
    figure.suptitle(
        f"{dataset}: learning curves{f' of {note}' * bool(note)} "
        "(line: median, band: range of replicates)",
        fontsize=9,
    )
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center")
    return figure


def draw_curves(
    axis: Axes, results: Results, dataset: str, against: str, notes: bool = True
) -> None:
    """Draw learning curves into a panel; see `curves`.

    Parameters
    ----------
    axis : Axes
        Panel to draw into.
    results : Results
        Results of the suite.
    dataset : str
        Name of the dataset.
    against : {"steps", "seconds"}
        Quantity of the x axis.
    notes : bool
        Whether legend entries state, besides the name, how training ended.
    """
    metric = quantity(results.suite.datasets[dataset].curve)
    followed = {
        row: results.curves.get((dataset, row.method), EMPTY)
        for row in drawn(results.rows(dataset))
        if row.model == "energy"
    }
    # Where curves start and end must be visible, however often they were measured in between.
    ends = {row: _ends(curve) for row, curve in followed.items() if len(curve.steps)}
    competing = [value for row, values in ends.items() if not row.control for value in values]
    levels = [values[-1] for row, values in ends.items() if row.control]
    fit_axis(axis, competing, bool(metric.higher_is_better), frame=levels)
    for row, curve in followed.items():
        _draw_curve(axis, curve, against, row, look(results.suite, row).line, notes)
    axis.set_ylabel(metric.axis if notes else metric.head)
    fit_cost_axis(axis)


def _draw_curve(
    axis: Axes, curve: LearningCurve, against: str, row: Row, line: dict, notes: bool
) -> None:
    """Draw the curve of a method; one that was measured only before training is a level line."""
    name = legend_of(row, notes)
    trained = curve.steps > 0  # a logarithmic axis cannot show step 0
    if not trained.any():
        level = pd.Series(curve.finite.ravel()).median()
        outside = whereabouts(axis, level)
        if np.isfinite(level) and (notes or not outside):
            axis.axhline(level, color=line["color"], linestyle=line["linestyle"], zorder=1,
                         label=name + outside)  # fmt: skip
        elif not np.isfinite(level) and not row.control:
            note = ", no curve" if notes and row.status == "ok" else ""
            axis.plot([], [], label=name + note, **line)
        return
    if against == "seconds" and row.apart:
        return
    x, values = getattr(curve, against)[trained], curve.finite[:, trained]
    over = pd.DataFrame(values)  # its statistics skip replicates that have failed
    middle = over.median()
    measured = middle.dropna()
    end = whereabouts(axis, measured.iloc[-1]) if len(measured) else ", not finite"
    axis.plot(x, middle, label=name + end * notes, **line)
    axis.fill_between(x, over.min(), over.max(), color=line["color"], alpha=0.15, linewidth=0)
    last = [(x[known[-1]], own[known[-1]]) for own in values[curve.failed]
            if len(known := np.flatnonzero(np.isfinite(own)))]  # fmt: skip
    size = 2 * mpl.rcParams["lines.markersize"]
    axis.plot(*np.reshape(last, (-1, 2)).T, "x", color=line["color"], markersize=size, zorder=4)


def _ends(curve: LearningCurve) -> list[float]:
    """Take the median over replicates at the first step, and range and median at the last."""
    ends = pd.DataFrame(curve.finite)
    first, last = ends.iloc[:, 0], ends.iloc[:, -1]
    return [first.median(), last.min(), last.max(), last.median()]
