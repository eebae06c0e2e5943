"""Names of the files of a report, which depend on the suite alone."""

from pathlib import Path

from ebm_bench import registry
from ebm_bench.suites.suite import Suite

TABLE_ENDINGS = ("md", "tex", "csv")
FIGURE_ENDINGS = ("png", "pdf", "svg")
PAPER_ENDINGS = ("pdf", "svg")
UNITS = ("steps", "seconds", "evaluations")  # in which methods may be given equal budgets


def outputs(suite: Suite, results: str | Path) -> dict[str, list[Path]]:
    """List the files that `build` writes.

    Parameters
    ----------
    suite : Suite
        What is compared.
    results : path
        Folder of the suite's results.

    Returns
    -------
    dict of str to list of Path
        Under ``tables``, ``figures`` and ``page``.
    """
    results = Path(results)
    tables = [
        table_path(results, name, ending) for name in table_names(suite) for ending in TABLE_ENDINGS
    ]
    figures = [
        figure_path(results, dataset, kind, ending)
        for dataset in suite.datasets
        for kind in figure_kinds(suite, dataset)
        for ending in FIGURE_ENDINGS
    ]
    if has_diagram(suite):
        figures += [diagram_path(results, ending) for ending in FIGURE_ENDINGS]
    return {
        "tables": [*tables, macros_path(results), results / "tables" / "overall.txt"],
        "figures": figures,
        "page": [results / "leaderboard.html"],
    }


def paper_outputs(suite: Suite, results: str | Path) -> list[Path]:
    """List the figures for a paper, and the LaTeX that includes them."""
    results = Path(results)
    figures = [paper_path(results, name, e) for name in paper_names(suite) for e in PAPER_ENDINGS]
    return [*figures, paper_path(results, "figures", "tex")]


def paper_names(suite: Suite) -> list[str]:
    """List the figures for a paper: of each dataset, then over all of them."""
    names = [f"{name}-{kind}" for name in suite.datasets for kind in figure_kinds(suite, name)]
    if len(suite.datasets) > 1:
        names += ["cost", "curves-step", "curves-seconds"]
    if sum("densities" in figure_kinds(suite, name) for name in suite.datasets) > 1:
        names.append("densities")
    return [*names, *(["critical-difference"] if has_diagram(suite) else [])]


def table_names(suite: Suite) -> list[str]:
    """List the tables: at the end of training, at equal budgets, and of each two models."""
    shown = [*suite.datasets, "overall"]
    at_equal = [f"{name}-{unit}" for unit in UNITS for name in shown]
    return [*shown, *at_equal, *(f"{name}-pairs" for name in suite.datasets)]


def stress_outputs(results: str | Path) -> list[Path]:
    """List the files that the report on stress tests writes: figures, then tables."""
    results = Path(results)
    figures = [results / "figures" / f"stress.{ending}" for ending in FIGURE_ENDINGS]
    return [*figures, *(table_path(results, "stress", ending) for ending in TABLE_ENDINGS)]


def estimation_outputs(results: str | Path) -> dict[str, list[Path]]:
    """List the files that a report on parameter estimation consists of.

    Parameters
    ----------
    results : path
        Folder of the suite's results.

    Returns
    -------
    dict of str to list of Path
        Under ``tables``, ``figures`` and ``claims``.
    """
    results = Path(results)
    along = ("size", "ratio")
    return {
        "tables": [
            results / "tables" / f"variance-{a}.{end}" for a in along for end in TABLE_ENDINGS
        ],
        "figures": [
            results / "figures" / f"error-{a}.{end}" for a in along for end in FIGURE_ENDINGS
        ],
        "claims": [results / "claims.md"],
    }


def table_path(results: Path, name: str, ending: str) -> Path:
    """Name the file of a table; see `table_names`."""
    return results / "tables" / f"{name}.{ending}"


def macros_path(results: Path) -> Path:
    """Name the file with a LaTeX macro for every number."""
    return results / "tables" / "macros.tex"


def paper_path(results: Path, name: str, ending: str) -> Path:
    """Name the file of a figure for a paper; see `paper_names`."""
    return results / "paper" / f"{name}.{ending}"


def figure_path(results: Path, dataset: str, kind: str, ending: str) -> Path:
    """Name the file of a figure."""
    return results / "figures" / f"{dataset}-{kind}.{ending}"


def diagram_path(results: Path, ending: str) -> Path:
    """Name the file of the diagram over all datasets."""
    return results / "figures" / f"critical-difference.{ending}"


def has_diagram(suite: Suite) -> bool:
    """Report whether a suite has enough methods and datasets for a diagram over all datasets."""
    everywhere = [
        name
        for name, spec in suite.methods.items()
        if not spec.control and suite.datasets_of(name) == list(suite.datasets)
    ]
    return len(suite.datasets) >= 2 and len(everywhere) >= 3


def figure_kinds(suite: Suite, dataset: str) -> list[str]:
    """List the figures that a dataset gets, in the order in which they are shown."""
    if is_image(dataset):
        return ["samples", "cost", "curves"]
    return [*(["densities"] if _dimension(suite, dataset) == 2 else []), "cost", "curves"]


def is_image(dataset: str) -> bool:
    """Report whether a dataset consists of images."""
    return registry.describe("datasets", dataset).kind == "image"


def _dimension(suite: Suite, dataset: str) -> int:
    """Find the dimension of a toy density: two, unless it is a setting."""
    _, default = registry.describe("datasets", dataset).settings.get("dimension", (int, 2))
    return suite.datasets[dataset].settings.get("dimension", default)
