"""Tables, figures and the leaderboard page from collected records.

Nothing here imports torch. Nothing heavy is imported before `build` is called, because the
workflow calls `outputs` each time it starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ebm_bench.errors import InputError
from ebm_bench.report.files import outputs
from ebm_bench.suites.suite import Suite

if TYPE_CHECKING:
    from ebm_bench.report.results import Results

__all__ = ["build", "build_paper", "first_lines", "outputs"]


def build(suite: Suite, suite_path: str | Path, results: str | Path) -> list[Path]:
    """Make the tables, the figures and the page of a suite.

    Missing runs and evaluations are shown as missing.

    Parameters
    ----------
    suite : Suite
        Suite to report on.
    suite_path : path
        File of the suite, for the commands that the page shows.
    results : path
        Folder of the suite's results, with ``records``; pictures are read from ``runs``.

    Returns
    -------
    list of Path
        All files written, as listed by `outputs`.

    Raises
    ------
    InputError
        If the records have not been collected or a file cannot be written.
    """
    from ebm_bench.report import budgets
    from ebm_bench.report.figures import screen
    from ebm_bench.report.page import leaderboard
    from ebm_bench.report.tables import tables

    results = Path(results)
    with _collected(suite, results) as collected:
        views = budgets.at_all(collected)
        written = tables.write(views, results)
        drawn = screen.write(collected, results)
        page = leaderboard.write(views, suite_path, results)
    return [*written, *drawn, page]


def build_paper(suite: Suite, results: str | Path, venue: str) -> list[Path]:
    """Make the figures of a suite for a paper, and its tables.

    Parameters
    ----------
    suite, results
        As for `build`.
    venue : str
        Venue whose columns give the widths, one of `style.VENUES`.

    Returns
    -------
    list of Path
        The tables of `outputs`, then the figures and the LaTeX that includes them.

    Raises
    ------
    InputError
        As for `build`, and if the venue is unknown.
    """
    from ebm_bench.report import budgets
    from ebm_bench.report.figures import paper, style
    from ebm_bench.report.tables import tables

    results, chosen = Path(results), style.paper(venue)
    with _collected(suite, results) as collected:
        return [
            *tables.write(budgets.at_all(collected), results),
            *paper.write(collected, results, chosen),
        ]


@contextmanager
def _collected(suite: Suite, results: Path) -> "Iterator[Results]":
    import pandas as pd

    from ebm_bench.report import loading

    # Arrow's strings make many small tables slow.
    with pd.option_context("mode.string_storage", "python"):
        yield loading.load(suite, results)


def first_lines(results: str | Path) -> str:
    """Read the overall ranking as a plain-text table for a terminal.

    Parameters
    ----------
    results : path
        Folder of the suite's results, after `build`.

    Raises
    ------
    InputError
        If the report has not been made.
    """
    path = Path(results) / "tables" / "overall.txt"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); make the report first"
        ) from None
