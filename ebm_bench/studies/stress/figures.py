"""The figure of the stress tests: a panel for each failure mode."""

import textwrap
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, NullLocator

from ebm_bench.report.figures.panels import grid, handles_of
from ebm_bench.report.figures.saving import save
from ebm_bench.report.figures.style import GRAY, RC, SCREEN, SMALL, Look, Style, paper, variant
from ebm_bench.report.files import figure_paths
from ebm_bench.report.formatting import quantity
from ebm_bench.report.rows import label
from ebm_bench.studies.stress import theory
from ebm_bench.studies.stress.suite import Panel, Stress

COLUMNS = 3
LETTERS = 34  # of a title over one of so many panels
_THEORY = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_RC = {**RC, "savefig.dpi": 110, "legend.fontsize": 7, "font.size": 8, "lines.markersize": 4}


def write(
    stress: Stress, found: dict[str, pd.DataFrame], results: Path, venue: str | None = None
) -> list[Path]:
    """Draw and save the figure of all panels; for a venue's paper, also one of each panel.

    Parameters
    ----------
    stress : Stress
        The suite of stress tests.
    found : dict of str to DataFrame
        Summary of each panel, from `ebm_bench.studies.stress.report.summary`.
    results : Path
        Folder of the results.
    venue : str, optional
        Venue whose column widths are used, one of `style.VENUES`.

    Returns
    -------
    list of Path
        The files written.
    """
    if not venue:
        with mpl.rc_context(_RC):
            return save(figure(stress, found), figure_paths(results, "stress"))
    style, written = paper(venue), []
    with mpl.rc_context(style.rc):
        drawn = {"stress": figure(stress, found, style, style.text)}
        for name, one in found.items():
            drawn[f"stress-{name}"] = figure(stress, {name: one}, style, style.column)
        for name, one in drawn.items():
            written += save(one, figure_paths(results, name, paper=True))
    return written


def figure(
    stress: Stress,
    found: dict[str, pd.DataFrame],
    style: Style = SCREEN,
    width: float | None = None,
) -> Figure:
    """Draw a panel for each failure mode, with a line for each method and for each theory.

    Parameters
    ----------
    stress : Stress
        The suite of stress tests.
    found : dict of str to DataFrame
        Summary of each panel to draw.
    style : Style
        Style of the screen, with a title, or of a paper.
    width : float, optional
        Width of the figure in inches; by default as wide as the panels need.
    """
    names = list(found)
    columns = min(COLUMNS, len(names))
    panel = (4.6, 4.1)
    if width:
        # The legend stands below its panel, in one column if panels are narrow.
        lines = max(len(stress.panels[n].methods) + len(stress.panels[n].theory) for n in names)
        legend = 0.115 * (lines if columns > 1 else -(-lines // 2))
        panel = (width / columns, 0.72 * width / columns + 0.55 + legend)
    drawn, axes = grid(
        len(names), COLUMNS, lambda columns, rows: (panel[0] * columns, panel[1] * rows)
    )
    objectives = list(
        dict.fromkeys(
            method["objective"]
            for one in stress.panels.values()
            for method in one.methods.values()
            if not method.get("control")
        )
    )
    for axis, name in zip(axes, names, strict=True):
        _draw(axis, stress.panels[name], found[name], objectives, style)
    if style.paper:
        for axis in axes if columns > 1 else ():
            axis.set_title(textwrap.fill(axis.get_title(), LETTERS))
            axis.set_xlabel(textwrap.fill(axis.get_xlabel(), LETTERS))
            for below in axis.findobj(Legend):
                below.set_ncols(1)
        return drawn
    drawn.suptitle(
        f"{stress.title}\nmarkers: mean over replicates, bars: its 95 % interval\n"
        "lines without markers: theory; ×: replicates failed; open: below the axis",
        fontsize=9,
    )
    return drawn


def _draw(
    axis: Axes, panel: Panel, rows: pd.DataFrame, objectives: list[str], style: Style
) -> None:
    measure = quantity(panel.metric)
    axis.set(title=panel.title, xlabel=panel.knob.label, xscale=panel.knob.scale)
    axis.set(ylabel=measure.head if style.paper else measure.axis, yscale=panel.scale)
    axis.xaxis.set_major_locator(FixedLocator(panel.knob.values))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if style.paper and len(panel.knob.values) > 4:
        axis.tick_params(axis="x", labelrotation=45)
    for (method, model), own in rows.groupby(["method", "model"], sort=False):
        look = _look(panel, method, model, objectives)
        _draw_method(axis, own, look, label(method, model), panel.floor)
    if panel.floor is not None:
        axis.set_ylim(bottom=panel.floor / 1.5)
    right = None
    if any(curve.axis == "right" for curve in panel.theory.values()):
        right = axis.twinx()
        right.set(yscale="log", ylabel="theory (gray)")
        right.yaxis.label.set_color(GRAY)
        right.tick_params(axis="y", colors=GRAY)
        right.spines["right"].set_visible(True)
        right.grid(visible=False)
    for (name, curve), dashes in zip(panel.theory.items(), cycle(_THEORY), strict=False):
        knob = _between(panel)
        y = np.array([theory.CURVES[curve.curve](value, **curve.settings) for value in knob])
        knob, y = knob[np.isfinite(y)], y[np.isfinite(y)]
        on, colour = (right, GRAY) if right and curve.axis == "right" else (axis, "black")
        on.plot(knob, y, color=colour, linestyle=dashes, linewidth=1.1, label=f"theory: {name}")
    handles = handles_of([axis, right] if right else [axis])
    below, size = (-0.26, SMALL) if style.paper else (-0.16, None)
    axis.legend(handles.values(), handles.keys(), loc="upper center", ncols=2, fontsize=size,
                bbox_to_anchor=(0.5, below))  # fmt: skip


def _draw_method(
    axis: Axes, own: pd.DataFrame, look: Look, label: str, floor: float | None
) -> None:
    x, mean = own["knob"].to_numpy(), own["mean"].to_numpy(float)
    edge = -np.inf if floor is None else floor
    under, y = mean < edge, np.fmax(mean, edge)
    y[np.isnan(mean)] = np.nan
    axis.plot(x, y, label=label, **{**look.line, "linewidth": 1.0})
    axis.plot(x[under], y[under], **{**look.point, "markerfacecolor": "white", "zorder": 3})
    low, high = own["low"].to_numpy(float), own["high"].to_numpy(float)
    axis.vlines(x, np.maximum(low, edge), high, color=look.colour, linewidth=1.0)
    failing = (own["failed"] + own["not_finite"]).to_numpy() > 0
    nowhere = np.isnan(y)
    axis.plot(x[failing & ~nowhere], y[failing & ~nowhere], "kx", markersize=8)
    axis.plot(x[nowhere], np.full(nowhere.sum(), 0.97), "x", color=look.colour, markersize=8,
              transform=axis.get_xaxis_transform())  # fmt: skip


def _look(panel: Panel, method: str, model: str, objectives: list[str]) -> Look:
    """Give an objective one colour in all panels; its variants differ in marker and dashes."""
    spec = panel.methods[method]
    if spec.get("control"):
        return Look(GRAY, "", "-", False)
    same = [name for name, m in panel.methods.items() if m["objective"] == spec["objective"]]
    return variant(objectives.index(spec["objective"]), same.index(method), model != "energy")


def _between(panel: Panel) -> np.ndarray:
    """Values of the knob at which theory is drawn: those measured, and more between them."""
    ends = panel.knob.values[0], panel.knob.values[-1]
    spaced = np.geomspace if panel.knob.scale == "log" else np.linspace
    return np.union1d(panel.knob.values, spaced(*ends, 81))
