"""Grids of panels, with shared labels and legends."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LETTER = 0.052  # inches: approximate width of a letter of a legend
_HANDLE = 0.36  # inches: line with its marker, and the gaps around it


def grid(
    n: int, columns: int, size: Callable[[int, int], tuple[float, float]], **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """Make n panels, wrapped into rows.

    Parameters
    ----------
    n : int
        Number of panels.
    columns : int
        Largest number of panels in a row.
    size : callable
        Width and height of the figure in inches, from the numbers of columns and rows.
    **subplots
        Passed to `Figure.subplots`.
    """
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=size(columns, rows))
    axes = list(figure.subplots(rows, columns, squeeze=False, **subplots).flat)
    for axis in axes[n:]:
        axis.remove()
    return figure, axes[:n]


def share_labels(axes: list[Axes], columns: int) -> None:
    """Remove the labels of an axis where the panel below or to the left has the same."""
    for axis, below in zip(axes, axes[columns:], strict=False):
        if axis.get_xlabel() == below.get_xlabel():
            axis.set_xlabel("")
    for i in reversed(range(1, len(axes))):
        if i % columns and axes[i].get_ylabel() == axes[i - 1].get_ylabel():
            axes[i].set_ylabel("")


def handles_of(axes: Iterable[Axes]) -> dict[str, Artist]:
    """Collect the entries of a common legend: the first line of each label."""
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def legend_below(figure: Figure, axes: list[Axes], width: float, order: Sequence[str] = ()) -> int:
    """Put one legend below all panels; return its number of lines of text.

    Labels that begin with one of ``order`` come first, in that order.
    """
    handles = handles_of(axes)
    if not handles:
        return 0
    places = {name: place for place, name in enumerate(order)}

    def place(label: str) -> tuple[int, int]:
        name = label.split(" (")[0]
        return (places[name], len(label)) if name in places else (len(places), 0)

    labels = sorted(handles, key=place)
    columns = int(width / (max(map(len, labels)) * _LETTER + _HANDLE))
    columns = max(1, min(len(labels), columns))
    figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center", ncols=columns
    )
    return math.ceil(len(labels) / columns)
