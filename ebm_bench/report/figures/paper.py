"""Figures for papers: vector graphics at the width of a column, explained by captions.

A figure over all datasets has a panel for each and one legend; a figure of one dataset fits into
a column. What figures on the screen show in titles and legends is here in the captions.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.figures.cost import draw_cost
from ebm_bench.report.figures.critical_difference import critical_difference
from ebm_bench.report.figures.curves import draw_curves
from ebm_bench.report.figures.panels import grid, legend_below, share_labels
from ebm_bench.report.figures.pictures import densities, density_grid, samples
from ebm_bench.report.figures.saving import save_all
from ebm_bench.report.figures.style import Style
from ebm_bench.report.files import figure_kinds, figure_paths, has_diagram
from ebm_bench.report.results import Results
from ebm_bench.report.tables import captions
from ebm_bench.report.tables.formats import escape, save

_TIME = "training time [s]"
_X = {"steps": "optimiser steps", "seconds": _TIME}
_ENVIRONMENT = r"""\begin{%(kind)s}
\centering
\includegraphics{%(name)s.pdf}
\caption{%(caption)s}
\label{fig:%(suite)s-%(name)s}
\end{%(kind)s}
"""


def write(results: Results, folder: Path, style: Style) -> list[Path]:
    """Draw and save all figures of a suite for a paper, and the LaTeX that includes them.

    Parameters
    ----------
    results : Results
        Results to draw.
    folder : Path
        Folder of the suite's results.
    style : Style
        Style of a venue; see `ebm_bench.report.figures.style.paper`.

    Returns
    -------
    list of Path
        The files of `figure_names`, then the LaTeX.
    """
    jobs, parts = [], []
    for name, draw, caption, wide in _figures(results, style):
        jobs.append((draw, figure_paths(folder, name, paper=True)))
        kind = "figure*" if wide else "figure"
        about = {"kind": kind, "name": name, "suite": results.suite.name}
        parts.append(_ENVIRONMENT % {**about, "caption": escape(caption)})
    written = save_all(jobs, style.rc)
    text = "% needs \\usepackage{graphicx}\n\n" + "\n".join(parts)
    return [*written, save(text, folder / "paper" / "figures.tex")]


def curves(results: Results, panels: list[tuple[str, str]], width: float) -> Figure:
    """Draw learning curves, a panel for each (dataset, ``"steps"`` or ``"seconds"``)."""

    def draw(axis: Axes, dataset: str, against: str) -> None:
        draw_curves(axis, results, dataset, against, notes=False)
        axis.set_xlabel(_X[against])

    return _panels(results, panels, draw, width)


def cost(results: Results, datasets: list[str], width: float) -> Figure:
    """Draw quality against cost, a panel for each dataset."""

    def draw(axis: Axes, dataset: str, _: str) -> None:
        draw_cost(axis, results, dataset, notes=False)
        axis.set_xlabel(_TIME)

    return _panels(results, [(dataset, "seconds") for dataset in datasets], draw, width)


def _figures(results: Results, style: Style) -> list[tuple[str, Callable[[], Figure], str, bool]]:
    """List name, drawing, caption and whether it is as wide as the text; see `figure_names`."""
    suite = results.suite
    named = list(suite.datasets)
    found: list[tuple[str, Callable[[], Figure], str, bool]] = []

    def add(
        name: str, kind: str, datasets: list[str], wide: bool, draw: Callable, *of: object
    ) -> None:
        caption = captions.figure_caption(results, kind, datasets)
        found.append((name, partial(draw, results, *of), caption, wide))

    for name in named:
        for kind in figure_kinds(suite, name):
            if kind in ("densities", "samples"):
                draw = densities if kind == "densities" else samples
                add(f"{name}-{kind}", kind, [name], True, draw, name, style)
            elif kind == "cost":
                add(f"{name}-cost", kind, [name], False, cost, [name], style.column)
            else:
                panels = [(name, against) for against in _X]
                add(f"{name}-curves", kind, [name], False, curves, panels, style.column)
    if len(named) > 1:
        add("cost", "cost", named, True, cost, named, style.text)
        for ending, against in (("step", "steps"), ("seconds", "seconds")):
            panels = [(name, against) for name in named]
            add(f"curves-{ending}", "curves", named, True, curves, panels, style.text)
        planar = [name for name in named if "densities" in figure_kinds(suite, name)]
        if len(planar) > 1:
            add("densities", "density grid", planar, True, density_grid, planar, style.text)
    if has_diagram(suite):
        add("critical-difference", "critical difference", named, True, critical_difference, style)
    return found


def _panels(
    results: Results,
    panels: list[tuple[str, str]],
    draw: Callable[[Axes, str, str], None],
    width: float,
) -> Figure:
    """Draw panels side by side, wrapped, with a common legend below them."""
    titles = len({dataset for dataset, _ in panels}) > 1
    columns = min(len(panels), max(1, round(width / 1.65)))
    figure, axes = grid(len(panels), columns, lambda *_: (width, 1.0))
    for axis, panel in zip(axes, panels, strict=True):
        draw(axis, *panel)
        if titles:
            axis.set_title(panel[0])
    share_labels(axes, columns)
    order = [name for name in results.suite.methods if name not in results.controls]
    lines = legend_below(figure, axes, width, order)
    each = max(0.95 * width / columns, 1.6) if columns > 1 else 0.62 * width
    rows = -(-len(panels) // columns)
    figure.set_size_inches(width, rows * (each + 0.2 * titles) + 0.125 * lines + 0.1)
    return figure
