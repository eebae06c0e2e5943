"""What becomes of records: tables, pages, submissions."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench.cli.options import (
    DeviceOption,
    ResultsOption,
    StyleOption,
    SuiteOption,
    ThreadsOption,
    VenueOption,
    app,
    start_work,
)
from ebm_bench.errors import InputError
from ebm_bench.suites import suite
from ebm_bench.utils.files import replacing


@app.command()
def collect(path: SuiteOption, results: ResultsOption) -> None:
    """Unite the records of all runs into tables; what is missing is named."""
    from ebm_bench.records import collection

    chosen = suite.load(path)
    folders = {
        f"{dataset}/{method}": results / "runs" / dataset / method
        for dataset in chosen.datasets
        for method in chosen.methods_of(dataset)
    }
    present = [folder for folder in folders.values() if (folder / "run.json").exists()]
    if not present:
        raise InputError(f"{results / 'runs'}: no run of suite {chosen.name} is there yet")
    for stage, file in {"trained": "run.json", "evaluated": "evaluation.json"}.items():
        missing = [name for name, folder in folders.items() if not (folder / file).exists()]
        if missing:
            typer.echo(f"not {stage} yet, left out: {', '.join(missing)}", err=True)
    collection.collect(present).write(results / "records")
    collection.keep_suite(chosen, path, results / "records")
    typer.echo(f"{len(present)} of {len(folders)} runs are in {results / 'records'}")


@app.command()
def merge(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Results folders, folders of records, or a table in such a folder."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Results folder of the united records.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Relative difference up to which values are the same.")
    ] = 1e-2,
) -> None:
    """Unite the records of several people or machines, where they agree.

    A run that several have is kept once. Records that disagree, or mix versions, are named and
    refused, and nothing is written.
    """
    from ebm_bench.records import merging

    merged = merging.merge(sources, tolerance)
    merged.refuse_loss(out)
    merged.write(out)
    typer.echo(merged.summary(out))


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="SUBMISSION", help="Results folder with records and weights.")
    ],
    dataset: Annotated[
        list[str] | None, typer.Option(help="Of the submission; may be repeated. [default: all]")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Of the submission; may be repeated. [default: all]")
    ] = None,
    replicate: Annotated[
        int | None,
        typer.Option(min=0, help="To be trained again. [default: the first that ended well]"),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Relative difference up to which numbers are the same.")
    ] = 1e-2,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file to write every number to.")
    ] = None,
    run_plugin: Annotated[
        bool, typer.Option("--run-plugin", help="Execute plugins that came with it.")
    ] = False,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
) -> None:
    """Measure submitted weights again, train one replicate again, and say which numbers hold.

    Trained again is one replicate of the chosen run whose training took least. The exit code
    is 1 where a number does not hold.
    """
    start_work(threads)
    from ebm_bench.runs import verification
    from ebm_bench.utils import devices

    submission = verification.load(folder, dataset or (), method or (), run_plugin)
    with devices.claim(device) as claimed:
        checks = verification.verify(submission, claimed, tolerance, replicate)
    if out:
        with replacing(out) as temporary:
            verification.table(checks).to_csv(temporary, index=False)
    typer.echo(verification.summary(checks))
    if not all(check.holds for check in checks):
        raise typer.Exit(1)


@app.command()
def report(
    path: SuiteOption,
    results: ResultsOption,
    style: StyleOption = "screen",
    venue: VenueOption = "icml",
) -> None:
    """Make the tables, the figures and the leaderboard page from collected records.

    With --style paper: the tables, and figures for a paper with the LaTeX that includes them,
    but no page.
    """
    from ebm_bench import report as reports

    chosen = suite.load(path)
    typer.echo("Making tables and figures, which takes a minute or two", err=True)
    if style == "paper":
        reports.build_paper(chosen, results, venue)
        typer.echo(f"The figures: {results / 'paper'}; the LaTeX tables: {results / 'tables'}")
        return
    reports.build(chosen, path, results)
    typer.echo(reports.first_lines(results))


@app.command()
def show(path: SuiteOption) -> None:
    """Show the leaderboard that the workflow made of a suite, and where its page is."""
    from ebm_bench import report as reports

    chosen = suite.load(path)
    results = Path("results", chosen.name).resolve()
    typer.echo(reports.first_lines(results))
    (page,) = reports.outputs(chosen, results)["page"]
    typer.echo(f"The leaderboard: {page}")
