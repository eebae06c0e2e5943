"""Cost and memory of a step against the dimension of the points."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.speed import results
from benchmarks.speed.results import Record, RowRecord
from ebm_bench.report.figures.panels import grid, handles_of
from ebm_bench.report.figures.saving import save
from ebm_bench.report.figures.style import GRAY, RC

ENDINGS = ("png", "pdf")
KINDS = ("cost", "memory")
_MARKERS = {"ours": "o", "published": "s", "torchebm": "^", "ebmkit": "D"}
_BOUNDS = {"ours": (0, (4, 1.5)), "published": (0, (1, 1.2))}


def write(record: Record, folder: Path) -> list[Path]:
    """Draw and save the figures that the rows are enough for."""
    if not any(row.curve for row in record.rows):
        return []
    paths = []
    for kind, draw in zip(KINDS, (cost, memory), strict=True):
        with mpl.rc_context(RC):
            paths += save(draw(record), [folder / f"{kind}.{ending}" for ending in ENDINGS])
    return paths


def cost(record: Record) -> Figure:
    """Draw the time of a step in plain steps, and what its matrix products would take alone.

    That is their floating-point operations at the machine's measured peak: no step that does
    these products can be faster.
    """
    figure, panels = _panels(record, "cost of a step [plain steps]", results.plain_steps)
    for title, axis in panels.items():
        for name, dashes in _BOUNDS.items():
            points = _points(record, title, name, results.bound)
            if points:
                label = f"{name}: its matrix products at the machine's peak"
                axis.plot(*zip(*points, strict=True), color=GRAY, linestyle=dashes, label=label)
    _legend(figure, panels)
    return figure


def memory(record: Record) -> Figure:
    """Draw what a step allocates at its peak, for each point of the batch."""

    def kilobytes(row: RowRecord, name: str) -> float | None:
        found = row.contenders.get(name)
        return found.peak_bytes / 1e3 / row.batch if found and found.peak_bytes else None

    figure, panels = _panels(record, "peak memory of a step [kB per point]", kilobytes)
    _legend(figure, panels)
    return figure


def _panels(
    record: Record, label: str, value: Callable[[RowRecord, str], float | None]
) -> tuple[Figure, dict[str, Axes]]:
    titles = list(dict.fromkeys(row.curve for row in record.rows if row.curve))
    figure, axes = grid(len(titles), len(titles), lambda n, _: (2.0 + 2.4 * n, 4.0), sharey=True)
    palette = sns.color_palette("colorblind")
    for title, axis in zip(titles, axes, strict=True):
        for colour, (name, marker) in zip(palette, _MARKERS.items(), strict=False):
            points = _points(record, title, name, value)
            if points:
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=name)
        axis.set(xscale="log", yscale="log", title=title, xlabel="dimension of a point")
        ticks = sorted({row.dimension for row in _curve(record, title)})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axes[0].set_ylabel(label)
    return figure, dict(zip(titles, axes, strict=True))


def _points(
    record: Record, title: str, name: str, value: Callable[[RowRecord, str], float | None]
) -> list[tuple[int, float]]:
    found = [(row.dimension, value(row, name)) for row in _curve(record, title)]
    return [(dimension, y) for dimension, y in found if y is not None]


def _curve(record: Record, title: str) -> list[RowRecord]:
    return sorted((r for r in record.rows if r.curve == title), key=lambda row: row.dimension)


def _legend(figure: Figure, panels: dict[str, Axes]) -> None:
    """Name every line once, under all panels."""
    handles = handles_of(panels.values())
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=2 * len(panels)
    )
