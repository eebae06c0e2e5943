"""The figure of a paper: densities side by side, or the criterion against the knob."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebm_bench.report import loading
from ebm_bench.report.figures.panels import grid, legend_below
from ebm_bench.report.figures.pictures import density_grid
from ebm_bench.report.figures.saving import save
from ebm_bench.report.figures.style import RC, variant
from ebm_bench.report.files import figure_kinds, figure_paths
from ebm_bench.report.formatting import quantity
from ebm_bench.report.rows import label
from ebm_bench.report.statistics.intervals import summarise
from ebm_bench.studies.papers.suite import SQUARED_ERROR, Paper, scale_of
from ebm_bench.suites.suite import Suite

COLUMNS = 3


def write(paper: Paper, values: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw and save the figure of a paper.

    Parameters
    ----------
    paper : Paper
        The paper.
    values : DataFrame
        As `ebm_bench.studies.papers.run.run` wrote it.
    folder : Path
        Folder of the results of all papers.
    """
    paths = figure_paths(folder, paper.name)
    with mpl.rc_context(RC):
        return save(figure(paper, values, folder / paper.name), paths)


def figure(paper: Paper, values: pd.DataFrame, results: Path) -> Figure:
    """Draw the densities of planar data where nothing is varied, else the criterion.

    Parameters
    ----------
    paper, values
        As for `write`.
    results : Path
        Folder of the results of this paper.
    """
    point = paper.points.get(None)
    if isinstance(point, Suite):
        planar = [name for name in point.datasets if "densities" in figure_kinds(point, name)]
        if planar:
            rows = len(point.methods)
            return density_grid(loading.load(point, results), planar, 1.0 * rows + 2)
    datasets = list(dict.fromkeys(cell.dataset for cell in paper.cells))
    drawn, axes = grid(len(datasets), COLUMNS, lambda columns, rows: (4 * columns, 3.4 * rows))
    for axis, dataset in zip(axes, datasets, strict=True):
        _curves(axis, paper, values, dataset)
    legend_below(drawn, axes, 4 * min(len(datasets), COLUMNS))
    return drawn


def _curves(axis: Axes, paper: Paper, values: pd.DataFrame, dataset: str) -> None:
    """Draw the criterion of a dataset against the knob, or of each model where there is none."""
    metric = paper.metrics(dataset)[0]
    scale = scale_of(metric)
    own = values[(values["dataset"] == dataset) & (values["metric"] == metric)]
    named = "squared error of the parameters"
    head = named if metric == SQUARED_ERROR else quantity(metric).axis
    axis.set(title=dataset, ylabel=head, yscale=scale)
    models = own[["method", "model"]].drop_duplicates().itertuples(index=False, name=None)
    for place, (method, model) in enumerate(models):
        mine = own[(own["method"] == method) & (own["model"] == model)]
        at = mine.assign(knob=mine["knob"].fillna(place)).groupby("knob")
        found = pd.concat([summarise(rows, lambda _: scale).assign(x=x) for x, rows in at])
        look = variant(place, 0, hollow=model != "energy")
        axis.plot(found["x"], found["mean"], label=label(method, model), **look.line)
        axis.vlines(found["x"], found["low"], found["high"], color=look.colour)
    if paper.knob:
        axis.set(xlabel=paper.knob.label, xscale=paper.knob.scale)
    else:
        axis.set_xticks([])
