"""Quality against cost."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.figures.axes import SECONDS, fit_axis, fit_cost_axis, whereabouts
from ebm_bench.report.figures.style import GRAY, legend_of, look
from ebm_bench.report.formatting import quantity
from ebm_bench.report.results import Results
from ebm_bench.report.rows import drawn, drawn_of


def cost(results: Results, dataset: str) -> Figure:
    """Draw the metric that ranks the models against the time of their training.

    Returns
    -------
    Figure
        One panel; the legend gives the reason for each model that cannot be shown.
    """
    figure = Figure(figsize=(7.5, 4.2))
    axis = figure.add_subplot()
    draw_cost(axis, results, dataset)
    note = drawn_of(results.rows(dataset))
    title = f"{dataset}: quality against cost" + f" of {note}" * bool(note)
    axis.set(xlabel=SECONDS, title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def draw_cost(axis: Axes, results: Results, dataset: str, notes: bool = True) -> None:
    """Draw quality against cost into a panel; see `cost`.

    Parameters
    ----------
    axis : Axes
        Panel to draw into. Points beyond the value axis are drawn hollow at its edge.
    results : Results
        Results of the suite.
    dataset : str
        Name of the dataset.
    notes : bool
        Whether legend entries state, besides the name, how training ended and what did not
        converge; if not, such points have a dagger.
    """
    metric = results.suite.datasets[dataset].rank_by
    found = {row: results.estimate(dataset, row, metric) for row in drawn(results.rows(dataset))}
    points = {
        row: (row.seconds, f.mean)
        for row, f in found.items()
        if not row.control and np.isfinite(f.mean) and np.isfinite(row.seconds)
    }
    higher = bool(quantity(metric).higher_is_better)
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
            if notes or not outside:
                axis.axhline(mean, color=GRAY, linestyle=style.dashes, label=note)
        elif row in points:
            if np.isfinite(summary.low):
                bar = [[mean - summary.low], [summary.high - mean]]
                axis.errorbar(row.seconds, mean, bar, fmt="none", ecolor=style.colour, capsize=2)
            axis.plot(row.seconds, mean, label=note, zorder=3, **style.point)
            rim, on_rim = float("above" in outside), axis.get_xaxis_transform()
            if outside:
                hollow = {**style.point, "markerfacecolor": "white"}
                axis.plot(row.seconds, rim, zorder=3, clip_on=False, transform=on_rim, **hollow)
            if not notes and (row.status != "ok" or summary.converged < 1):
                place, system = (rim, on_rim) if outside else (mean, "data")
                axis.annotate("†", (row.seconds, place), (3, 2), xycoords=system,
                              textcoords="offset points", annotation_clip=False)  # fmt: skip
        elif not row.control:
            if notes and row.apart:
                note += f", timed on {row.machine}"
            elif notes and row.status == "ok":
                note += ", no finite value"
            axis.plot([], [], label=note, **style.point)
    front = _pareto(list(points.values()), higher)
    if front:
        axis.step(*zip(*front, strict=True), where="post", color="0.85", linewidth=5, zorder=0,
                  solid_capstyle="round", label="Pareto front")  # fmt: skip
    axis.set_ylabel(quantity(metric).axis if notes else quantity(metric).head)
    fit_cost_axis(axis)


def _pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[tuple]:
    """Keep the points that no cheaper one equals or beats, from cheap to expensive."""
    sign = -1 if higher_is_better else 1
    front: list[tuple] = []
    for seconds, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not front or sign * value < sign * front[-1][1]:
            front.append((seconds, value))
    return front
