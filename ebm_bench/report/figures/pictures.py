"""Pictures of models side by side: densities and samples."""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ebm_bench.report.figures.style import DENSITY, GRAY, SCREEN, SMALL, Style
from ebm_bench.report.results import Results, Row
from ebm_bench.report.wording import number, quantity

PANELS = 5  # side by side
PAPER_PANELS = 7
TILES = 6  # images along each side of a panel


def densities(results: Results, dataset: str, style: Style = SCREEN) -> Figure:
    """Draw learned densities in two dimensions, on one colour scale.

    Controls come first, the best of them, which is the truth where it is known, before all;
    then the models in the order of their rank.

    Parameters
    ----------
    results : Results
        Whose pictures are drawn.
    dataset : str
        Of the suite.
    style : Style
        Which gives the width.

    Returns
    -------
    Figure
        A panel for each model; where there is no density, the panel says so. A line of text
        where there is none at all.
    """
    rows = _controls_first(results, dataset)
    drawn = [_picture(results, dataset, row, "density") for row in rows]
    if all(density is None for density in drawn):
        return _nothing("densities")
    top = next((float(np.nanmax(d)) for d in drawn if d is not None), 1.0)
    figure, axes = _panels(len(rows), style)
    _label_the_rim(axes)
    image = None
    for axis, row, density in zip(axes, rows, drawn, strict=True):
        axis.set_title(_title(results, dataset, row, style))
        axis.grid(False)
        if density is None:
            _say(axis, "no density")
            continue
        box = [float(edge) for edge in results.pictures(dataset, row.method)["box"]]
        image = _show(axis, density, box, top)
    figure.supxlabel("$x_1$", fontsize="medium")
    figure.supylabel("$x_2$", fontsize="medium")
    if image is not None:
        bar = figure.colorbar(image, ax=axes, extend="max", shrink=0.8, aspect=30, pad=0.01)
        bar.set_label("density" if style.paper else "density, one scale for all panels")
        bar.outline.set_visible(False)
    return figure


def density_grid(results: Results, datasets: list[str], width: float) -> Figure:
    """Draw the densities of all models on several datasets, a column for each model.

    Parameters
    ----------
    results : Results
        Whose pictures are drawn.
    datasets : list of str
        In two dimensions, a line for each, with a colour scale of its own that ends at the
        highest density of the best control, which is the truth where it is known.
    width : float
        Of the figure, in inches.
    """
    order = list(results.suite.methods)
    lines = {name: _controls_first(results, name) for name in datasets}
    places: dict[str, tuple] = {}
    for row in (row for rows in lines.values() for row in rows):
        # Controls as on the first dataset, where the truth is best; methods as in the suite.
        place = len(places) if row.control else order.index(row.method)
        places.setdefault(row.label, (not row.control, place, row.model != "energy"))
    names = sorted(places, key=places.__getitem__)
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.005, wspace=0.01, hspace=0.01)
    height = width / (len(names) + 1) * len(datasets) + 0.55
    figure = Figure(figsize=(width, height), layout=tight)
    axes = figure.subplots(len(datasets), len(names), squeeze=False)
    for line, (dataset, rows) in zip(axes, lines.items(), strict=True):
        drawn = {row.label: _picture(results, dataset, row, "density") for row in rows}
        top = next((float(np.nanmax(d)) for d in drawn.values() if d is not None), 1.0)
        of = {row.label: row for row in rows}
        for axis, name in zip(line, names, strict=True):
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.spines[:].set_visible(False)
            axis.grid(False)
            if drawn.get(name) is None:
                axis.set(xlim=(-1, 1), ylim=(-1, 1))
                axis.plot(0, 0, "x", color=GRAY)
                continue
            box = [float(x) for x in results.pictures(dataset, of[name].method)["box"]]
            _show(axis, drawn[name], box, top)
        line[0].set_ylabel(dataset.replace("_", "\n"), rotation=0, ha="right", va="center",
                           fontsize=SMALL)  # fmt: skip
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, rotation=90, fontsize=SMALL)
    return figure


def samples(results: Results, dataset: str, style: Style = SCREEN) -> Figure:
    """Draw samples of images of every model, beside data.

    Returns
    -------
    Figure
        A panel of data, then one for each model; a line of text where there are no pictures.
    """
    rows = _controls_first(results, dataset)
    stored = [results.pictures(dataset, row.method) for row in rows]
    data = next((p["data.samples"] for p in stored if "data.samples" in p), None)
    if not any(stored):
        return _nothing("samples")
    figure, axes = _panels(1 + len(rows), style)
    _tile(axes[0], data, "data", "no data")
    for axis, row in zip(axes[1:], rows, strict=True):
        images = _picture(results, dataset, row, "samples")
        _tile(axis, images, _title(results, dataset, row, style), "no samples")
    return figure


def _controls_first(results: Results, dataset: str) -> list[Row]:
    return sorted(results.rows(dataset), key=lambda row: not row.control)


def _picture(results: Results, dataset: str, row: Row, kind: str) -> np.ndarray | None:
    """Load a picture of a model; None where there is none, or nothing finite on it."""
    array = results.pictures(dataset, row.method).get(f"{row.model}.{kind}")
    return array if array is not None and np.isfinite(array).any() else None


def _title(results: Results, dataset: str, row: Row, style: Style) -> str:
    metric = results.suite.datasets[dataset].rank_by
    name = f"control: {row.label}" if row.control and not style.paper else row.label
    found = results.estimate(dataset, row, metric)
    bound = "≥ " if found.converged < 1 and quantity(metric).lower_bound else ""
    if style.paper:
        sign = "†" if row.status != "ok" or found.converged < 1 else ""
        return f"{textwrap.shorten(name, 20, placeholder='…')}{sign}\n{bound}{number(found.mean)}"
    lines = [textwrap.shorten(name, 30, placeholder="…")]
    if np.isfinite(found.mean):
        lines.append(f"{quantity(metric).label} {bound}{number(found.mean)}")
    lines += ["not converged"] if found.converged < 1 else []
    lines += textwrap.wrap(row.status, 24) if row.status != "ok" else []
    return "\n".join(lines)


def _show(axis: Axes, density: np.ndarray, box: list[float], top: float) -> AxesImage:
    return axis.imshow(density, extent=box, origin="lower", vmin=0, vmax=top, cmap=DENSITY,
                       interpolation_stage="data")  # fmt: skip


def _panels(n: int, style: Style) -> tuple[Figure, list[Axes]]:
    """Make so many square panels, wrapped, without ticks."""
    columns = min(n, PAPER_PANELS if style.paper else PANELS)
    rows = math.ceil(n / columns)
    size = (1.85 * columns + 0.7, 2.15 * rows + 0.3)
    if style.paper:
        columns = math.ceil(n / rows)  # no line is nearly empty
        size = (style.text, (style.text / columns + 0.2) * rows)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04) if style.paper else "constrained"
    figure = Figure(figsize=size, layout=layout)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[n:]:
        axis.remove()
    for axis in axes[:n]:
        axis.set(aspect="equal", xticks=[], yticks=[])
    return figure, axes[:n]


def _label_the_rim(axes: list[Axes]) -> None:
    """Give ticks to the panels without a neighbour on the left or below: all show one box."""
    for axis in axes:
        place = axis.get_subplotspec()
        below = (place.rowspan.start + 1, place.colspan.start)
        taken = {(a.get_subplotspec().rowspan.start, a.get_subplotspec().colspan.start)
                 for a in axes}  # fmt: skip
        if below not in taken:
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if place.is_first_col():
            axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _tile(axis: Axes, images: np.ndarray | None, title: str, reason: str) -> None:
    """Draw images of shape (n, C, H, W) as a square of tiles."""
    axis.set(title=title, xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if images is None:
        _say(axis, reason)
        return
    side = min(TILES, math.isqrt(len(images)))
    images = np.pad(images, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=255)  # gaps
    rows = [np.concatenate(images[i * side : (i + 1) * side], axis=2) for i in range(side)]
    tiled = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    axis.imshow(tiled if tiled.shape[2] == 3 else tiled[..., 0], cmap="gray", vmin=0, vmax=255,
                interpolation="nearest")  # fmt: skip


def _nothing(kind: str) -> Figure:
    """Say that no run has pictures, as where there are records alone."""
    figure = Figure(figsize=(7.5, 0.6))
    figure.text(0.5, 0.5, f"no {kind}: these records came without pictures", ha="center",
                va="center", color=GRAY)  # fmt: skip
    return figure


def _say(axis: Axes, text: str) -> None:
    """Say why a panel is empty."""
    axis.text(0.5, 0.5, textwrap.fill(text, 18), transform=axis.transAxes, ha="center",
              va="center", color=GRAY)  # fmt: skip
