"""The report on papers: every claim with its verdict, and a figure of each paper."""

from collections import Counter
from operator import attrgetter
from pathlib import Path

import pandas as pd

from ebm_bench.errors import InputError
from ebm_bench.report.columns import Column, Table
from ebm_bench.report.files import papers_outputs
from ebm_bench.report.statistics.intervals import LEVEL
from ebm_bench.report.tables import formats
from ebm_bench.studies.papers import figures
from ebm_bench.studies.papers.claims import NOT, OPEN, REPRODUCED, Verdict, check
from ebm_bench.studies.papers.suite import Claim, Paper
from ebm_bench.studies.stress.suite import VALUES
from ebm_bench.utils.files import read_table


def build(papers: dict[str, Paper], results: str | Path) -> list[Path]:
    """Decide the claims of papers, and draw the figures.

    Parameters
    ----------
    papers : dict of str to Paper
        Papers by name.
    results : path
        Folder with a folder for each paper, as `ebm_bench.studies.papers.run.run` left it.

    Returns
    -------
    list of Path
        What was written: that of `papers_outputs`.

    Raises
    ------
    InputError
        Where a paper has not been run, or cannot be read.
    """
    folder = Path(results)
    values = {name: load(paper, folder / name) for name, paper in papers.items()}
    verdicts = {name: check(paper, values[name]) for name, paper in papers.items()}
    outputs = papers_outputs(folder, list(papers))
    (claims,) = outputs["claims"]
    written = [formats.save(render(papers, verdicts), claims)]
    return [*written, *_draw(papers, values, folder)]


def load(paper: Paper, results: Path) -> pd.DataFrame:
    """Read the table of all values of a paper.

    Raises
    ------
    InputError
        Where the paper has not been run, or with other settings than it has, or the table cannot
        be read.
    """
    path = results / VALUES
    table = read_table(path, f"run paper {paper.name}, `ebm-bench paper`")
    if "settings" not in table or set(table["settings"]) != {paper.settings}:
        raise InputError(
            f"{path}: of other settings than {paper.name} has now; run it again, `ebm-bench paper`"
        )
    return table


def render(papers: dict[str, Paper], verdicts: dict[str, list[Verdict]]) -> str:
    """Write the claims of all papers as Markdown."""
    parts = [section(paper, verdicts[name]) for name, paper in papers.items()]
    counts = Counter(each.verdict for found in verdicts.values() for each in found)
    stated = ", ".join(f"{counts[kind]} {kind}" for kind in (REPRODUCED, NOT, OPEN) if counts[kind])
    return "\n".join(
        [
            "# Published comparisons",
            "",
            f"{sum(counts.values())} claims of {len(papers)} papers: {stated}. In brackets: "
            f"{LEVEL:.0%} interval over replicates (Student t). Positive criteria and estimation "
            "errors are compared on the log scale, and ratios and differences in pairs of "
            f"replicates. A claim is *{REPRODUCED}* if the whole interval is within the stated "
            f"limit, *{NOT}* if it is outside, and else *{OPEN}*; so it is where a failure of "
            "replicates speaks against the verdict of the others (the number of those compared "
            "is given), or where a value did not converge. Main settings that differ from the "
            "published ones are listed.",
            "",
            *parts,
        ]
    )


def section(paper: Paper, verdicts: list[Verdict]) -> str:
    """Write the claims of one paper as Markdown, below a heading."""
    columns = [
        Column("claim", "Claim", lambda each: each.claim.claim),
        Column("published", "Published", lambda each: each.claim.published),
        Column("measured", "Measured", lambda each: each.about),
        Column("limit", "Limit", lambda each: limit(each.claim)),
        Column("ours", "Ours", lambda each: each.found),
        Column("verdict", "Verdict", lambda each: each.verdict),
    ]
    caption = f"Suite {paper.name}, version {paper.version}; about {paper.minutes:g} minutes."
    lines = [
        f"## {paper.title}",
        "",
        f"{paper.paper.citation}, {paper.paper.place}.",
        "",
        formats.markdown(Table(columns, verdicts, caption)),
    ]
    if paper.scaled:
        differs = [Column(key, head, attrgetter(key)) for key, head in _DIFFERENCES.items()]
        lines.append(formats.markdown(Table(differs, list(paper.scaled), "What differs:")))
    return "\n".join(lines)


def limit(claim: Claim) -> str:
    """Write the limits of a claim: ``< 0.1``."""
    above = [] if claim.above is None else [f"> {claim.above:g}"]
    below = [] if claim.below is None else [f"< {claim.below:g}"]
    return ", ".join([*above, *below])


_DIFFERENCES = {"what": "Setting", "published": "Published", "here": "Here"}


def _draw(papers: dict[str, Paper], values: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    # Arrow's strings make many small tables slow.
    with pd.option_context("mode.string_storage", "python"):
        return [
            path
            for name, paper in papers.items()
            for path in figures.write(paper, values[name], folder)
        ]
