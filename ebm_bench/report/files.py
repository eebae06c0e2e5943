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
    tables = [path for name in table_names(suite) for path in table_paths(results, name)]
    return {
        "tables": [*tables, macros_path(results), results / "tables" / "overall.txt"],
        "figures": [path for name in figure_names(suite) for path in figure_paths(results, name)],
        "page": [results / "leaderboard.html"],
    }


def figure_names(suite: Suite, paper: bool = False) -> list[str]:
    """List the figures of a report or for a paper: of each dataset, then over all of them."""
    names = [f"{name}-{kind}" for name in suite.datasets for kind in figure_kinds(suite, name)]
    if paper and len(suite.datasets) > 1:
        names += ["cost", "curves-step", "curves-seconds"]
    if paper and sum("densities" in figure_kinds(suite, name) for name in suite.datasets) > 1:
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
    return [*figure_paths(results, "stress"), *table_paths(results, "stress")]


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
        "tables": [path for a in along for path in table_paths(results, f"variance-{a}")],
        "figures": [path for a in along for path in figure_paths(results, f"error-{a}")],
        "claims": [results / "claims.md"],
    }


def papers_outputs(results: str | Path, names: list[str]) -> dict[str, list[Path]]:
    """List the files that the report on papers writes.

    Parameters
    ----------
    results : path
        Folder of the results of all papers.
    names : list of str
        Names of the papers.

    Returns
    -------
    dict of str to list of Path
        Under ``claims`` and ``figures``.
    """
    results = Path(results)
    return {
        "claims": [results / "claims.md"],
        "figures": [path for name in names for path in figure_paths(results, name)],
    }


def table_paths(results: Path, name: str) -> list[Path]:
    """Name the files of a table, one for each of `TABLE_ENDINGS`; see `table_names`."""
    return [results / "tables" / f"{name}.{ending}" for ending in TABLE_ENDINGS]


def macros_path(results: Path) -> Path:
    """Name the file with a LaTeX macro for every number."""
    return results / "tables" / "macros.tex"


def figure_paths(results: Path, name: str, paper: bool = False) -> list[Path]:
    """Name the files of a figure, one for each format; see `figure_names`."""
    folder, endings = ("paper", PAPER_ENDINGS) if paper else ("figures", FIGURE_ENDINGS)
    return [results / folder / f"{name}.{ending}" for ending in endings]


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
    """Find the dimension of vectors: a setting, or that of files; else two."""
    entry, given = registry.describe("datasets", dataset), suite.datasets[dataset].settings
    if "dimension" in entry.settings or not entry.files:
        _, default = entry.settings.get("dimension", (int, 2))
        return given.get("dimension", default)
    try:
        data = registry.create("datasets", dataset, **suite.data(dataset, given).settings)
        return data.event_shape[0]
    except Exception:  # of any plugin's kind: results can be elsewhere than the data
        return 0
