"""Figures of a suite: quality against cost and learning curves, and the pictures beside them."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.records import replacing
from ebm_bench.report.axes import fit_axis, fit_cost_axis, whereabouts
from ebm_bench.report.diagram import critical_difference
from ebm_bench.report.files import (
    FIGURE_ENDINGS,
    diagram_path,
    figure_kinds,
    figure_path,
    has_diagram,
)
from ebm_bench.report.pictures import densities, samples
from ebm_bench.report.results import Results, Row
from ebm_bench.report.statistics import FAILED
from ebm_bench.report.style import GRAY, RC, look
from ebm_bench.report.wording import quantity

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
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        return [path for paths in pool.map(_write, *zip(*jobs, strict=True)) for path in paths]


def _write(draw: Callable[[], Figure], path_of: Callable[[str], Path]) -> list[Path]:
    paths = [path_of(ending) for ending in FIGURE_ENDINGS]
    with mpl.rc_context(RC):
        figure = draw()
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
    metric = results.suite.datasets[dataset].rank_by
    figure = Figure(figsize=(7.5, 4.2))
    axis = figure.add_subplot()
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
        note = _legend(row) + whereabouts(axis, mean)
        note += ", not converged" if summary.converged < 1 else ""
        if row.control and np.isfinite(mean):
            axis.axhline(mean, color=GRAY, linestyle=style.dashes, label=f"control: {note}")
        elif row in points:
            if np.isfinite(summary.low):
                bar = [[mean - summary.low], [summary.high - mean]]
                axis.errorbar(row.seconds, mean, bar, fmt="none", ecolor=style.colour, capsize=2)
            axis.plot(row.seconds, mean, label=note, zorder=3, **style.point)
        elif not row.control:
            if row.apart:
                note += f", timed on {row.machine}"
            elif row.status == "ok":
                note += ", no finite value"
            axis.plot([], [], label=note, **style.point)
    if front:
        axis.step(*zip(*front, strict=True), where="post", color="0.85", linewidth=5, zorder=0,
                  solid_capstyle="round", label="Pareto front")  # fmt: skip
    axis.set(
        xlabel=_SECONDS,
        ylabel=quantity(metric).axis,
        title=f"{dataset}: quality against cost",
    )
    fit_cost_axis(axis)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def curves(results: Results, dataset: str) -> Figure:
    """Draw learning curves against steps and against seconds.

    The line is the median over the replicates that are still trained, the band their range;
    a cross marks where a replicate diverged.

    Returns
    -------
    Figure
        Two panels with one legend.
    """
    metric = results.suite.datasets[dataset].curve
    rows = [row for row in results.rows(dataset) if row.model == "energy"]
    followed = {row: _curve(results, dataset, row) for row in rows}
    figure = Figure(figsize=(10, 4.4))
    axes = figure.subplots(1, 2, sharey=True)
    competing = [curve for row, curve in followed.items() if not row.control]
    levels = [_ends(curve)[-1] for row, curve in followed.items() if row.control]
    # Where curves start and end is to be seen, not how often they were measured between.
    seen = [value for curve in competing for value in _ends(curve)]
    fit_axis(axes[0], seen, bool(quantity(metric).higher_is_better), frame=levels)
    for axis, against in zip(axes, ("step", "seconds"), strict=True):
        for row, curve in followed.items():
            _draw_curve(axis, curve, against, row, look(results.suite, row).line)
        fit_cost_axis(axis)
    axes[0].set(xlabel="optimiser steps", ylabel=quantity(metric).axis)
    axes[1].set(xlabel=_SECONDS)
    figure.suptitle(
        f"{dataset}: learning curves (line: median, band: range of replicates)", fontsize=9
    )
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _draw_curve(axis: Axes, curve: pd.DataFrame, against: str, row: Row, line: dict) -> None:
    """Draw one method; a model that is measured once, untrained, is a level line."""
    note = f"control: {_legend(row)}" if row.control else _legend(row)
    if curve.empty or curve["step"].max() == 0:
        if np.isfinite(level := curve["value"].median()):
            axis.axhline(level, color=line["color"], linestyle=line["linestyle"], zorder=1,
                         label=note + whereabouts(axis, level))  # fmt: skip
        elif not row.control:
            axis.plot([], [], label=f"{note}, no curve" if row.status == "ok" else note, **line)
        return
    if against == "seconds" and row.apart:
        return
    trained = curve[curve["step"] > 0]  # on a logarithmic axis there is no step 0
    middle = trained.groupby("step").agg(
        x=(against, "mean"), y=("value", "median"), low=("value", "min"), high=("value", "max")
    )
    measured = middle["y"].dropna()
    note += whereabouts(axis, measured.iloc[-1]) if len(measured) else ", not finite"
    axis.plot(middle["x"], middle["y"], label=note, **line)
    axis.fill_between(
        middle["x"], middle["low"], middle["high"], color=line["color"], alpha=0.15, linewidth=0
    )
    ended = {o.replicate for o in row.run.outcomes if o.status in FAILED}
    crossed = trained[trained["replicate"].isin(ended)].dropna(subset="value")
    last = crossed.groupby("replicate").last()
    axis.plot(last[against], last["value"], "x", color=line["color"], markersize=9, zorder=4)


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


def _legend(row: Row) -> str:
    return row.label if row.status == "ok" else f"{row.label}: {row.status}"


def _pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[tuple]:
    """Keep the points that no cheaper one equals or beats, from cheap to dear."""
    sign = -1 if higher_is_better else 1
    front: list[tuple] = []
    for seconds, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not front or sign * value < sign * front[-1][1]:
            front.append((seconds, value))
    return front


_DRAWING = {"densities": densities, "samples": samples, "cost": cost, "curves": curves}
