"""Figures of a suite: quality against cost and learning curves, and the pictures beside them."""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.figures.axes import fit_axis, fit_cost_axis, whereabouts
from ebm_bench.report.figures.diagram import critical_difference
from ebm_bench.report.figures.pictures import densities, samples
from ebm_bench.report.figures.style import GRAY, RC, look
from ebm_bench.report.files import (
    FIGURE_ENDINGS,
    diagram_path,
    figure_kinds,
    figure_path,
    has_diagram,
)
from ebm_bench.report.results import Results, Row
from ebm_bench.report.statistics.replicates import FAILED
from ebm_bench.report.wording import quantity
from ebm_bench.utils.files import replacing

_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
_SECONDS = "set-up and training of all replicates together [s]"


def write(results: Results, folder: Path) -> list[Path]:
    """Draw and save all figures of a suite.

    Returns
    -------
    list of Path
        In the order of `outputs`.
    """
    jobs = [
        (partial(_DRAWING[kind], results, dataset), partial(figure_path, folder, dataset, kind))
        for dataset in results.suite.datasets
        for kind in figure_kinds(results.suite, dataset)
    ]
    if has_diagram(results.suite):
        jobs.append((partial(critical_difference, results), partial(diagram_path, folder)))
    return save_all([(*job, FIGURE_ENDINGS, RC) for job in jobs])


def save_all(jobs: list[tuple]) -> list[Path]:
    """Draw and save figures side by side.

    Parameters
    ----------
    jobs : list of (draw, path_of, endings, rc)
        How each is drawn, where it goes by its ending, and settings of matplotlib.
    """
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        return [path for paths in pool.map(_save, *zip(*jobs, strict=True)) for path in paths]


def _save(
    draw: Callable[[], Figure],
    path_of: Callable[[str], Path],
    endings: Iterable[str],
    rc: Mapping[str, Any],
) -> list[Path]:
    with mpl.rc_context(rc):
        return save_as(draw(), [path_of(ending) for ending in endings])


def save_as(figure: Figure, paths: list[Path]) -> list[Path]:
    """Save a figure in several formats."""
    for path in paths:
        save(figure, path)
        figure.set_layout_engine("none")  # laid out once, by the first
    return paths


def save(figure: Figure, path: Path) -> None:
    """Save a figure in the format that the ending of the path names."""
    kind = path.suffix[1:]
    # Without a date in it, the same figure is the same file.
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=_UNDATED.get(kind))


def cost(results: Results, dataset: str) -> Figure:
    """Draw the metric that ranks the models against the time of their training.

    Returns
    -------
    Figure
        One panel; what cannot be shown is named in the legend with the reason.
    """
    figure = Figure(figsize=(7.5, 4.2))
    axis = figure.add_subplot()
    draw_cost(axis, results, dataset)
    axis.set(xlabel=_SECONDS, title=f"{dataset}: quality against cost")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def draw_cost(axis: Axes, results: Results, dataset: str, notes: bool = True) -> None:
    """Draw quality against cost on an axis; see `cost`.

    Parameters
    ----------
    axis : Axes
        Where. What it does not reach is drawn hollow on its rim.
    results, dataset
        What.
    notes : bool
        Whether labels say what is to be known of a model, and not its name alone.
    """
    metric = results.suite.datasets[dataset].rank_by
    found = {row: results.estimate(dataset, row, metric) for row in results.rows(dataset)}
    points = {
        row: (row.seconds, f.mean)
        for row, f in found.items()
        if not row.control and np.isfinite(f.mean) and np.isfinite(row.seconds)
    }
    higher = bool(quantity(metric).higher_is_better)
    front = _pareto(list(points.values()), higher)
    controls = [f.mean for row, f in found.items() if row.control]
    ends = [end for row in points for end in (found[row].low, found[row].high)]
    fit_axis(axis, [mean for _, mean in points.values()], higher, frame=[*controls, *ends])
    for row, summary in found.items():
        style, mean = look(results.suite, row), summary.mean
        outside = whereabouts(axis, mean)
        note = legend_of(row, notes)
        if notes:
            note += outside + (", not converged" if summary.converged < 1 else "")
        if row.control and np.isfinite(mean):
            if outside and not notes:
                continue  # a label alone would say nothing
            axis.axhline(mean, color=GRAY, linestyle=style.dashes, label=note)
        elif row in points:
            if np.isfinite(summary.low):
                bar = [[mean - summary.low], [summary.high - mean]]
                axis.errorbar(row.seconds, mean, bar, fmt="none", ecolor=style.colour, capsize=2)
            axis.plot(row.seconds, mean, label=note, zorder=3, **style.point)
            if outside:
                rim = {"transform": axis.get_xaxis_transform(), "clip_on": False}
                axis.plot(row.seconds, float("above" in outside), zorder=3,
                          **{**style.point, "markerfacecolor": "white"}, **rim)  # fmt: skip
        elif not row.control:
            if row.apart:
                note += f", timed on {row.machine}" if notes else ""
            elif row.status == "ok":
                note += ", no finite value" if notes else ""
            axis.plot([], [], label=note, **style.point)
    if front:
        axis.step(*zip(*front, strict=True), where="post", color="0.85", linewidth=5, zorder=0,
                  solid_capstyle="round", label="Pareto front")  # fmt: skip
    axis.set_ylabel(_value_label(metric, notes))
    fit_cost_axis(axis)


def curves(results: Results, dataset: str) -> Figure:
    """Draw learning curves against steps and against seconds.

    The line is the median over the replicates that are still trained, the band their range;
    a cross marks where a replicate diverged.

    Returns
    -------
    Figure
        Two panels with one legend.
    """
    figure = Figure(figsize=(10, 4.4))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, against in zip(axes, ("step", "seconds"), strict=True):
        draw_curves(axis, results, dataset, against)
    axes[0].set(xlabel="optimiser steps")
    axes[1].set(xlabel=_SECONDS, ylabel="")
    figure.suptitle(
        f"{dataset}: learning curves (line: median, band: range of replicates)", fontsize=9
    )
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center")
    return figure


def draw_curves(
    axis: Axes, results: Results, dataset: str, against: str, notes: bool = True
) -> None:
    """Draw learning curves on an axis, against ``"step"`` or ``"seconds"``; see `curves`.

    Parameters
    ----------
    axis, results, dataset, notes
        As for `draw_cost`.
    against : str
        A column of the curves.
    """
    metric = results.suite.datasets[dataset].curve
    rows = [row for row in results.rows(dataset) if row.model == "energy"]
    followed = {row: _curve(results, dataset, row) for row in rows}
    competing = [curve for row, curve in followed.items() if not row.control]
    levels = [_ends(curve)[-1] for row, curve in followed.items() if row.control]
    # Where curves start and end is to be seen, not how often they were measured between.
    seen = [value for curve in competing for value in _ends(curve)]
    fit_axis(axis, seen, bool(quantity(metric).higher_is_better), frame=levels)
    for row, curve in followed.items():
        _draw_curve(axis, curve, against, row, look(results.suite, row).line, notes)
    axis.set_ylabel(_value_label(metric, notes))
    fit_cost_axis(axis)


def _value_label(metric: str, notes: bool) -> str:
    """Name the axis of values; in short where panels are small."""
    return quantity(metric).axis if notes else quantity(metric).head


def _draw_curve(
    axis: Axes, curve: pd.DataFrame, against: str, row: Row, line: dict, notes: bool
) -> None:
    """Draw one method; a model that is measured once, untrained, is a level line."""
    note = legend_of(row, notes)

    def told(text: str) -> str:
        return note + text if notes else note

    if curve.empty or curve["step"].max() == 0:
        level = curve["value"].median()
        if np.isfinite(level) and not notes and whereabouts(axis, level):
            return
        if np.isfinite(level):
            axis.axhline(level, color=line["color"], linestyle=line["linestyle"], zorder=1,
                         label=told(whereabouts(axis, level)))  # fmt: skip
        elif not row.control:
            axis.plot([], [], label=told(", no curve" if row.status == "ok" else ""), **line)
        return
    if against == "seconds" and row.apart:
        return
    trained = curve[curve["step"] > 0]  # on a logarithmic axis there is no step 0
    middle = trained.groupby("step").agg(
        x=(against, "mean"), y=("value", "median"), low=("value", "min"), high=("value", "max")
    )
    measured = middle["y"].dropna()
    end = whereabouts(axis, measured.iloc[-1]) if len(measured) else ", not finite"
    axis.plot(middle["x"], middle["y"], label=told(end), **line)
    axis.fill_between(
        middle["x"], middle["low"], middle["high"], color=line["color"], alpha=0.15, linewidth=0
    )
    ended = {o.replicate for o in row.run.outcomes if o.status in FAILED}
    crossed = trained[trained["replicate"].isin(ended)].dropna(subset="value")
    last = crossed.groupby("replicate").last()
    size = 2 * mpl.rcParams["lines.markersize"]
    axis.plot(last[against], last["value"], "x", color=line["color"], markersize=size, zorder=4)


def _curve(results: Results, dataset: str, row: Row) -> pd.DataFrame:
    """Take the curve of a run; a replicate that failed has no value after its last step."""
    table = results.curves
    chosen = table[(table["dataset"] == dataset) & (table["method"] == row.method)].copy()
    chosen["value"] = chosen["value"].astype(float).where(lambda v: np.isfinite(v))
    for outcome in row.run.outcomes if row.run else []:
        if outcome.status in FAILED:
            late = (chosen["replicate"] == outcome.replicate) & (chosen["step"] > outcome.step)
            chosen.loc[late, "value"] = np.nan
    return chosen.sort_values("step", kind="stable")


def _ends(curve: pd.DataFrame) -> list[float]:
    """Take the median over replicates at the first step, and range and median at the last."""
    first, last = (curve.loc[curve["step"] == curve["step"].agg(end), "value"]
                   for end in ("min", "max"))  # fmt: skip
    return [first.median(), last.min(), last.max(), last.median()]


def legend_of(row: Row, notes: bool) -> str:
    """Name a model in a legend, and on demand how its training ended."""
    name = f"control: {row.label}" if row.control else row.label
    return f"{name}: {row.status}" if notes and row.status != "ok" else name


def share_labels(axes: list[Axes], columns: int) -> None:
    """Label an axis once where its neighbours say the same."""
    for i, axis in enumerate(axes):
        below = i + columns < len(axes)
        if below and axes[i + columns].get_xlabel() == axis.get_xlabel():
            axis.set_xlabel("")
    for i in reversed(range(len(axes))):
        if i % columns and axes[i].get_ylabel() == axes[i - 1].get_ylabel():
            axes[i].set_ylabel("")


def _pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[tuple]:
    """Keep the points that no cheaper one equals or beats, from cheap to dear."""
    sign = -1 if higher_is_better else 1
    front: list[tuple] = []
    for seconds, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not front or sign * value < sign * front[-1][1]:
            front.append((seconds, value))
    return front


_DRAWING = {"densities": densities, "samples": samples, "cost": cost, "curves": curves}
