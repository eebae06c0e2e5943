"""All figures of a suite, as the page and the folder ``figures`` show them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from ebm_bench.report.figures.cost import cost
from ebm_bench.report.figures.critical_difference import critical_difference
from ebm_bench.report.figures.curves import curves
from ebm_bench.report.figures.pictures import densities, samples
from ebm_bench.report.figures.saving import save_all
from ebm_bench.report.figures.style import RC
from ebm_bench.report.files import figure_kinds, figure_paths, has_diagram
from ebm_bench.report.results import Results

_DRAWING = {"densities": densities, "samples": samples, "cost": cost, "curves": curves}


def write(results: Results, folder: Path) -> list[Path]:
    """Draw and save all figures of a suite; return their paths in the order of `outputs`."""
    drawing: dict[str, Callable[[], Figure]] = {
        f"{dataset}-{kind}": partial(_DRAWING[kind], results, dataset)
        for dataset in results.suite.datasets
        for kind in figure_kinds(results.suite, dataset)
    }
    if has_diagram(results.suite):
        drawing["critical-difference"] = partial(critical_difference, results)
    return save_all([(draw, figure_paths(folder, name)) for name, draw in drawing.items()], RC)
