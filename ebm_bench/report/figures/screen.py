"""All figures of a suite, as the page and the folder ``figures`` show them."""

from functools import partial
from pathlib import Path

from ebm_bench.report.figures.cost import cost
from ebm_bench.report.figures.critical_difference import critical_difference
from ebm_bench.report.figures.curves import curves
from ebm_bench.report.figures.pictures import densities, samples
from ebm_bench.report.figures.saving import Job, save_all
from ebm_bench.report.figures.style import RC
from ebm_bench.report.files import (
    FIGURE_ENDINGS,
    diagram_path,
    figure_kinds,
    figure_path,
    has_diagram,
)
from ebm_bench.report.results import Results

_DRAWING = {"densities": densities, "samples": samples, "cost": cost, "curves": curves}


def write(results: Results, folder: Path) -> list[Path]:
    """Draw and save all figures of a suite; return their paths in the order of `outputs`."""
    jobs: list[Job] = [
        (
            partial(_DRAWING[kind], results, dataset),
            [figure_path(folder, dataset, kind, ending) for ending in FIGURE_ENDINGS],
        )
        for dataset in results.suite.datasets
        for kind in figure_kinds(results.suite, dataset)
    ]
    if has_diagram(results.suite):
        paths = [diagram_path(folder, ending) for ending in FIGURE_ENDINGS]
        jobs.append((partial(critical_difference, results), paths))
    return save_all(jobs, RC)
