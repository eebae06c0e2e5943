"""Which files a report consists of, told from the suite alone."""

from pathlib import Path

from ebm_bench import registry
from ebm_bench.suite import Suite

TABLE_ENDINGS = ("md", "tex", "csv")
FIGURE_ENDINGS = ("png", "pdf")


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
        table_path(results, name, ending)
        for name in (*suite.datasets, "overall")
        for ending in TABLE_ENDINGS
    ]
    figures = [
        figure_path(results, dataset, kind, ending)
        for dataset in suite.datasets
        for kind in figure_kinds(suite, dataset)
        for ending in FIGURE_ENDINGS
    ]
    return {
        "tables": [*tables, results / "tables" / "overall.txt"],
        "figures": figures,
        "page": [results / "leaderboard.html"],
    }


def table_path(results: Path, name: str, ending: str) -> Path:
    """Name the file of a dataset's table, or of the ``overall`` one."""
    return results / "tables" / f"{name}.{ending}"


def figure_path(results: Path, dataset: str, kind: str, ending: str) -> Path:
    """Name the file of a figure."""
    return results / "figures" / f"{dataset}-{kind}.{ending}"


def figure_kinds(suite: Suite, dataset: str) -> list[str]:
    """List the figures that a dataset gets, in the order in which they are shown."""
    if is_image(dataset):
        return ["samples", "cost", "curves"]
    return [*(["densities"] if _dimension(suite, dataset) == 2 else []), "cost", "curves"]


def is_image(dataset: str) -> bool:
    """Tell whether a dataset consists of images."""
    return registry.describe("datasets", dataset).attributes.get("kind") == "image"


def _dimension(suite: Suite, dataset: str) -> int:
    """Find the dimension of a toy density: two, unless it is a setting."""
    _, default = registry.describe("datasets", dataset).settings.get("dimension", (int, 2))
    return suite.datasets[dataset].settings.get("dimension", default)
