"""Pictures of models side by side: densities and samples."""

import math
import textwrap
from functools import cached_property

import numpy as np
import seaborn as sns  # noqa: F401 - registers its colour maps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ebm_bench.report.figures.panels import grid
from ebm_bench.report.figures.style import (
    DENSITY,
    GRAY,
    SCREEN,
    SMALL,
    Style,
    legend_of,
    short,
)
from ebm_bench.report.formatting import number, quantity
from ebm_bench.report.results import Results
from ebm_bench.report.rows import Row, drawn, drawn_of

PANELS = 5  # side by side
PAPER_PANELS = 7
TILES = 6  # images along each side of a panel


class Pictures:
    """Pictures that the runs on a dataset left; each run's are read once.

    Parameters
    ----------
    results : Results
        Results of a suite.
    dataset : str
        Name of the dataset.
    figure : bool
        Whether only those of the rows are wanted that a figure shows, see `rows.drawn`.

    Attributes
    ----------
    rows : list of Row
        Controls first, the best of them, which is the truth if that is known, before all; then
        the models in the order of their rank.
    """

    def __init__(self, results: Results, dataset: str, figure: bool = True) -> None:
        rows = results.rows(dataset)
        self.rows = sorted(drawn(rows) if figure else rows, key=lambda row: not row.control)
        methods = dict.fromkeys(row.method for row in self.rows)
        self._stored = {method: results.pictures(dataset, method) for method in methods}

    def of(self, row: Row, kind: str) -> np.ndarray | None:
        """Take the density or the samples of a model; None without any finite value."""
        array = self._stored[row.method].get(f"{row.model}.{kind}")
        return array if array is not None and np.isfinite(array).any() else None

    def all(self, kind: str) -> dict[str, np.ndarray]:
        """Take all densities or samples that there are, by label of the row."""
        found = ((row.label, self.of(row, kind)) for row in self.rows)
        return {label: array for label, array in found if array is not None}

    def box(self, row: Row) -> tuple[float, float, float, float]:
        """Take the limits of a density: left, right, bottom, top."""
        left, right, bottom, top = map(float, self._stored[row.method]["box"])
        return left, right, bottom, top

    @cached_property
    def top(self) -> float:
        """Density at which colour scales end: the highest of the first row that has one."""
        found = self.all("density")
        return float(np.nanmax(next(iter(found.values())))) if found else 1.0

    @property
    def data(self) -> np.ndarray | None:
        """Samples of the data."""
        return next((p["data.samples"] for p in self._stored.values() if "data.samples" in p), None)

    def __bool__(self) -> bool:
        """Whether any run left pictures."""
        return any(self._stored.values())


def tiled(images: np.ndarray) -> np.ndarray:
    """Lay out images of shape (n, C, H, W) as a square, with gaps: (H', W', 3) or (H', W')."""
    side = min(TILES, math.isqrt(len(images)))
    framed = np.pad(images[: side**2], [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=255)
    rows = framed.reshape(side, side, *framed.shape[1:]).transpose(0, 3, 1, 4, 2)
    whole = np.ascontiguousarray(rows.reshape(rows.shape[0] * rows.shape[1], -1, rows.shape[4]))
    return whole if whole.shape[2] == 3 else whole[..., 0]


def densities(results: Results, dataset: str, style: Style = SCREEN) -> Figure:
    """Draw learned densities in two dimensions, on one colour scale.

    Returns
    -------
    Figure
        A panel for each model, in the order of `Pictures`; a panel without a density states
        so. A line of text if there is no density at all.
    """
    pictures = Pictures(results, dataset)
    if not pictures.all("density"):
        return _nothing("densities")
    figure, axes, columns = _panels(len(pictures.rows), style)
    _state_what_is_drawn(figure, results, dataset, style)
    _label_the_rim(axes, columns)
    for axis, row in zip(axes, pictures.rows, strict=True):
        axis.set_title(_title(results, dataset, row, style))
        axis.grid(False)
        density = pictures.of(row, "density")
        if density is None:
            _state(axis, "no density")
        else:
            image = _show(axis, density, pictures, row)
    figure.supxlabel("$x_1$", fontsize="medium")
    figure.supylabel("$x_2$", fontsize="medium")
    bar = figure.colorbar(image, ax=axes, extend="max", shrink=0.8, aspect=30, pad=0.01)
    bar.set_label("density" if style.paper else "density, one scale for all panels")
    bar.outline.set_visible(False)
    return figure


def density_grid(results: Results, datasets: list[str], width: float) -> Figure:
    """Draw the densities of all models on several datasets, a column for each model.

    Parameters
    ----------
    results : Results
        Results of a suite.
    datasets : list of str
        Datasets in two dimensions. Each has a row of panels with a colour scale of its own,
        which ends at the highest density of the best control (the truth if that is known).
    width : float
        Width of the figure in inches.
    """
    order = list(results.suite.methods)
    lines = {name: Pictures(results, name) for name in datasets}
    places: dict[str, tuple] = {}
    for row in (row for pictures in lines.values() for row in pictures.rows):
        # Controls as on the first dataset, where the truth is best; methods as in the suite.
        place = len(places) if row.control else order.index(row.method)
        places.setdefault(row.label, (not row.control, place, row.model != "energy"))
    names = sorted(places, key=places.__getitem__)
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.005, wspace=0.01, hspace=0.01)
    height = width / (len(names) + 1) * len(datasets) + 0.55
    figure = Figure(figsize=(width, height), layout=tight)
    axes = figure.subplots(len(datasets), len(names), squeeze=False)
    for line, (dataset, pictures) in zip(axes, lines.items(), strict=True):
        rows = {row.label: row for row in pictures.rows}
        for axis, name in zip(line, names, strict=True):
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.spines[:].set_visible(False)
            axis.grid(False)
            density = pictures.of(rows[name], "density") if name in rows else None
            if density is None:
                axis.set(xlim=(-1, 1), ylim=(-1, 1))
                axis.plot(0, 0, "x", color=GRAY)
            else:
                _show(axis, density, pictures, rows[name])
        line[0].set_ylabel(dataset.replace("_", "\n"), rotation=0, ha="right", va="center",
                           fontsize=SMALL)  # fmt: skip
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(short(name), rotation=90, fontsize=SMALL)
    return figure


def samples(results: Results, dataset: str, style: Style = SCREEN) -> Figure:
    """Draw samples of images of every model, beside data.

    Returns
    -------
    Figure
        A panel of data, then one for each model; a line of text if there are no pictures.
    """
    pictures = Pictures(results, dataset)
    if not pictures:
        return _nothing("samples")
    figure, axes, _ = _panels(1 + len(pictures.rows), style)
    _state_what_is_drawn(figure, results, dataset, style)
    _show_tiles(axes[0], pictures.data, "data", "no data")
    for axis, row in zip(axes[1:], pictures.rows, strict=True):
        title = _title(results, dataset, row, style)
        _show_tiles(axis, pictures.of(row, "samples"), title, "no samples")
    return figure


def _state_what_is_drawn(figure: Figure, results: Results, dataset: str, style: Style) -> None:
    note = drawn_of(results.rows(dataset))
    if note and not style.paper:  # there the caption states it
        figure.suptitle(f"Controls, and {note} by rank", fontsize=9)


def _title(results: Results, dataset: str, row: Row, style: Style) -> str:
    metric = quantity(results.suite.datasets[dataset].rank_by)
    found = results.estimate(dataset, row, results.suite.datasets[dataset].rank_by)
    converged = not found.converged < 1
    value = found.bound + number(found.mean)
    if style.paper:
        sign = "†" if row.status != "ok" or not converged else ""
        return f"{short(row.label, 20)}{sign}\n{value}"
    lines = [legend_of(row, notes=False)]
    lines += [f"{metric.label} {value}"] if np.isfinite(found.mean) else []
    lines += [] if converged else ["not converged"]
    lines += textwrap.wrap(row.status, 24) if row.status != "ok" else []
    return "\n".join(lines)


def _show(axis: Axes, density: np.ndarray, pictures: Pictures, row: Row) -> AxesImage:
    return axis.imshow(density, extent=pictures.box(row), origin="lower", vmin=0,
                       vmax=pictures.top, cmap=DENSITY, interpolation_stage="data")  # fmt: skip


def _show_tiles(axis: Axes, images: np.ndarray | None, title: str, reason: str) -> None:
    """Draw images of shape (n, C, H, W) as a square of tiles, or the reason for having none."""
    axis.set(title=title)
    axis.spines[:].set_visible(False)
    if images is None:
        _state(axis, reason)
    else:
        axis.imshow(tiled(images), cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _panels(n: int, style: Style) -> tuple[Figure, list[Axes], int]:
    """Make n square panels without ticks, wrapped; return also how many stand side by side."""

    def size(columns: int, rows: int) -> tuple[float, float]:
        if style.text is None:
            return 1.85 * columns + 0.7, 2.15 * rows + 0.3
        return style.text, (style.text / columns + 0.2) * rows

    most = PANELS
    if style.paper:
        most = math.ceil(n / math.ceil(n / PAPER_PANELS))  # no row is nearly empty
    figure, axes = grid(n, most, size)
    if style.paper:
        figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04))
    for axis in axes:
        axis.set(aspect="equal", xticks=[], yticks=[])
    return figure, axes, min(n, most)


def _label_the_rim(axes: list[Axes], columns: int) -> None:
    """Give ticks to the panels without a neighbour on the left or below: all show one box."""
    for i, axis in enumerate(axes):
        if i + columns >= len(axes):
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if i % columns == 0:
            axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _nothing(kind: str) -> Figure:
    """State that no run has pictures, which is so if only records were kept."""
    figure = Figure(figsize=(7.5, 0.6))
    figure.text(0.5, 0.5, f"no {kind}: these records came without pictures", ha="center",
                va="center", color=GRAY)  # fmt: skip
    return figure


def _state(axis: Axes, text: str) -> None:
    """State why a panel is empty."""
    axis.text(0.5, 0.5, textwrap.fill(text, 18), transform=axis.transAxes, ha="center",
              va="center", color=GRAY)  # fmt: skip
