"""Figures for papers: vector graphics at the width of a column, which captions explain.

A figure over all datasets has a panel for each and one legend; a figure of one dataset fits into
a column. What the screen's figures say in titles and legends, their captions say here.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.figures.diagram import critical_difference
from ebm_bench.report.figures.figures import draw_cost, draw_curves, save_all, share_labels
from ebm_bench.report.figures.pictures import densities, density_grid, samples
from ebm_bench.report.figures.style import Style
from ebm_bench.report.files import PAPER_ENDINGS, figure_kinds, has_diagram, paper_path
from ebm_bench.report.results import Results
from ebm_bench.report.tables import captions
from ebm_bench.report.tables.formats import escape
from ebm_bench.utils.files import replacing

_X = {"step": "optimiser steps", "seconds": "training time [s]"}
_LETTER = 0.052  # inches: about the width of a letter of the legend
_HANDLE = 0.36  # inches: of a line with its marker, and the gaps


def write(results: Results, folder: Path, style: Style) -> list[Path]:
    """Draw and save all figures of a suite for a paper, and the LaTeX that includes them.

    Parameters
    ----------
    results : Results
        What they show.
    folder : Path
        Of the suite's results.
    style : Style
        Of a venue; see `ebm_bench.report.figures.style.paper`.

    Returns
    -------
    list of Path
        In the order of `paper_outputs`.
    """
    jobs, parts = [], []
    for name, draw, caption, wide in _figures(results, style):
        jobs.append((draw, partial(paper_path, folder, name), PAPER_ENDINGS, style.rc))
        parts.append(_environment(results.suite.name, name, caption, wide))
    written = save_all(jobs)
    path = paper_path(folder, "figures", "tex")
    with replacing(path) as temporary:
        temporary.write_text("% needs \\usepackage{graphicx}\n\n" + "\n".join(parts))
    return [*written, path]


def curves(results: Results, panels: list[tuple[str, str]], width: float) -> Figure:
    """Draw learning curves, a panel for each dataset and what they stand against."""

    def draw(axis: Axes, panel: tuple[str, str]) -> None:
        dataset, against = panel
        draw_curves(axis, results, dataset, against, notes=False)
        axis.set_xlabel(_X[against])

    return _panels(results, panels, draw, width)


def cost(results: Results, datasets: list[str], width: float) -> Figure:
    """Draw quality against cost, a panel for each dataset."""

    def draw(axis: Axes, panel: tuple[str, str]) -> None:
        draw_cost(axis, results, panel[0], notes=False)
        axis.set_xlabel(_X["seconds"])

    panels = [(dataset, "seconds") for dataset in datasets]
    return _panels(results, panels, draw, width)


def _figures(results: Results, style: Style) -> list[tuple[str, Callable, str, bool]]:
    """List name, drawing, caption and whether it is as wide as the text; see `paper_names`."""
    suite = results.suite
    named = list(suite.datasets)
    found = []

    def add(name: str, draw: Callable, kind: str, datasets: list[str], wide: bool) -> None:
        found.append((name, draw, captions.figure_caption(results, kind, datasets), wide))

    for name in named:
        for kind in figure_kinds(suite, name):
            draw = {
                "densities": partial(densities, results, name, style),
                "samples": partial(samples, results, name, style),
                "cost": partial(cost, results, [name], style.column),
                "curves": partial(
                    curves, results, [(name, against) for against in _X], style.column
                ),
            }[kind]
            add(f"{name}-{kind}", draw, kind, [name], wide=kind in ("densities", "samples"))
    if len(named) > 1:
        add("cost", partial(cost, results, named, style.text), "cost", named, True)
        for against in _X:
            panels = [(name, against) for name in named]
            draw = partial(curves, results, panels, style.text)
            add(f"curves-{against}", draw, "curves", named, True)
        planar = [name for name in named if "densities" in figure_kinds(suite, name)]
        if len(planar) > 1:
            draw = partial(density_grid, results, planar, style.text)
            add("densities", draw, "density grid", planar, True)
    if has_diagram(suite):
        draw = partial(critical_difference, results, style)
        add("critical-difference", draw, "critical difference", named, True)
    return found


def _panels(
    results: Results,
    panels: list[tuple[str, str]],
    draw: Callable[[Axes, tuple[str, str]], None],
    width: float,
) -> Figure:
    """Draw panels side by side, wrapped, with a common legend below them."""
    titles = len({dataset for dataset, _ in panels}) > 1
    columns = min(len(panels), max(1, round(width / 1.65)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(width, 1.0))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[len(panels) :]:
        axis.remove()
    axes = axes[: len(panels)]
    for axis, panel in zip(axes, panels, strict=True):
        draw(axis, panel)
        if titles:
            axis.set_title(panel[0])
    share_labels(axes, columns)
    order = [name for name in results.suite.methods if name not in results.controls]
    lines = legend_below(figure, axes, width, order)
    each = max(0.95 * width / columns, 1.6) if columns > 1 else 0.62 * width
    figure.set_size_inches(width, rows * (each + 0.2 * titles) + 0.125 * lines + 0.1)
    return figure


def legend_below(figure: Figure, axes: list[Axes], width: float, order: Sequence[str] = ()) -> int:
    """Name every line once under all panels; return how many lines of text it took.

    Labels that begin with one of ``order`` come first, in that order.
    """
    handles = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return 0
    place = {name: i for i, name in enumerate(order)}
    last = len(place)
    named = sorted(
        enumerate(handles),
        key=lambda entry: (
            (place[entry[1].split(" (")[0]], len(entry[1]))
            if entry[1].split(" (")[0] in place
            else (last, entry[0])
        ),
    )
    handles = {label: handles[label] for _, label in named}
    widest = max(map(len, handles)) * _LETTER + _HANDLE
    columns = max(1, min(len(handles), int(width / widest)))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
    return math.ceil(len(handles) / columns)


def _environment(suite: str, name: str, caption: str, wide: bool) -> str:
    kind = "figure*" if wide else "figure"
    return "\n".join(
        [
            rf"\begin{{{kind}}}",
            r"\centering",
            rf"\includegraphics{{{name}.pdf}}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{fig:{suite}-{name}}}",
            rf"\end{{{kind}}}",
            "",
        ]
    )
