"""Pictures of models side by side: densities and samples."""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report.results import Results, Row
from ebm_bench.report.style import DENSITY, GRAY
from ebm_bench.report.wording import number, quantity

PANELS = 5  # side by side
TILES = 6  # images along each side of a panel


def densities(results: Results, dataset: str) -> Figure:
    """Draw learned densities in two dimensions, on one colour scale.

    Controls come first, the best of them, which is the truth where it is known, before all;
    then the models in the order of their rank.

    Parameters
    ----------
    results : Results
        Whose pictures are drawn.
    dataset : str
        Of the suite.

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
    figure, axes = _panels(len(rows), sharex=True, sharey=True)
    image = None
    for axis, row, density in zip(axes, rows, drawn, strict=True):
        axis.set_title(_title(results, dataset, row))
        axis.grid(False)
        axis.locator_params(nbins=4, integer=True)
        if density is None:
            _say(axis, "no density")
            continue
        box = [float(edge) for edge in results.pictures(dataset, row.method)["box"]]
        image = axis.imshow(density, extent=box, origin="lower", vmin=0, vmax=top, cmap=DENSITY)
    figure.supxlabel("$x_1$", fontsize=9)
    figure.supylabel("$x_2$", fontsize=9)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, extend="max", shrink=0.8, aspect=30, pad=0.01)
        bar.set_label("density, one scale for all panels")
        bar.outline.set_visible(False)
    return figure


def samples(results: Results, dataset: str) -> Figure:
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
    figure, axes = _panels(1 + len(rows))
    _tile(axes[0], data, "data", "no data")
    for axis, row in zip(axes[1:], rows, strict=True):
        images = _picture(results, dataset, row, "samples")
        _tile(axis, images, _title(results, dataset, row), "no samples")
    return figure


def _controls_first(results: Results, dataset: str) -> list[Row]:
    return sorted(results.rows(dataset), key=lambda row: not row.control)


def _picture(results: Results, dataset: str, row: Row, kind: str) -> np.ndarray | None:
    """Load a picture of a model; None where there is none, or nothing finite on it."""
    array = results.pictures(dataset, row.method).get(f"{row.model}.{kind}")
    return array if array is not None and np.isfinite(array).any() else None


def _title(results: Results, dataset: str, row: Row) -> str:
    metric = results.suite.datasets[dataset].rank_by
    name = f"control: {row.label}" if row.control else row.label
    found = results.estimate(dataset, row, metric)
    lines = [textwrap.shorten(name, 30, placeholder="…")]
    if np.isfinite(found.mean):
        bound = "≥ " if found.converged < 1 and quantity(metric).lower_bound else ""
        lines.append(f"{quantity(metric).label} {bound}{number(found.mean)}")
    lines += ["not converged"] if found.converged < 1 else []
    lines += textwrap.wrap(row.status, 24) if row.status != "ok" else []
    return "\n".join(lines)


def _panels(n: int, **shared: bool) -> tuple[Figure, list[Axes]]:
    """Make so many square panels, wrapped; axes that are shared are labelled on the rim."""
    columns = min(n, PANELS)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(1.85 * columns + 0.7, 2.15 * rows + 0.3))
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axis in axes[n:]:
        axis.remove()
    for i, axis in enumerate(axes[:n]):
        axis.set_aspect("equal")
        axis.tick_params(labelbottom=i >= n - columns, labelleft=i % columns == 0)
    return figure, axes[:n]


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
