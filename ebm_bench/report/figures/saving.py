"""Saving figures in several formats."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib as mpl
from fontTools import subset
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ebm_bench.utils.files import replacing

Job = tuple[Callable[[], Figure], list[Path]]
_CANVASES = {"png": FigureCanvasAgg, "pdf": FigureCanvasPdf, "svg": FigureCanvasSVG}
# Without a date, the same figure is the same file.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}

# To cut down the tables that shape text, for which a PDF has no use, takes most of the time that
# the fonts of a figure take.
subset.Options._drop_tables_default += ["GSUB", "GPOS", "GDEF"]


def save(figure: Figure, paths: list[Path]) -> list[Path]:
    """Save a figure in the formats that the endings of the paths name; return the paths.

    `Figure.savefig` would draw the figure twice for each format, once only to lay it out. Here
    it is laid out once, while it is drawn for the first format.
    """
    for path in paths:
        kind = path.suffix[1:]
        figure.dpi = mpl.rcParams["savefig.dpi"]  # vector formats change it
        with replacing(path) as temporary:
            canvas = _CANVASES[kind](figure)
            getattr(canvas, f"print_{kind}")(temporary, metadata=_METADATA[kind])
        figure.set_layout_engine("none")
    return paths


def save_all(jobs: list[Job], rc: dict[Any, Any]) -> list[Path]:
    """Draw and save figures in parallel.

    Parameters
    ----------
    jobs : list of (draw, paths)
        Function that draws a figure, and where the figure is saved.
    rc : dict
        Settings of matplotlib for all figures.
    """
    # What figures show is handed to each process once, and not with each figure: of thousands of
    # runs it is large.
    processes = min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, initializer=_receive, initargs=(jobs, rc)) as pool:
        return [path for paths in pool.map(_draw_and_save, range(len(jobs))) for path in paths]


_received: list[tuple[list[Job], dict[Any, Any]]] = []  # in a process that draws


def _receive(*given: Any) -> None:
    _received[:] = [given]


def _draw_and_save(number: int) -> list[Path]:
    jobs, rc = _received[0]
    draw, paths = jobs[number]
    with mpl.rc_context(rc):
        return save(draw(), paths)
