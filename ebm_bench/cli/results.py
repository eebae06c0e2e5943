"""Commands for records: collect, merge, verify, report, show."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench.cli import options
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import InputError
from ebm_bench.suites import suite
from ebm_bench.utils import yaml_files
from ebm_bench.utils.files import replacing


@app.command()
def collect(path: options.Suite, results: options.Results) -> None:
    """Collect the records of all runs into tables; list runs that are missing or out of date.

    Runs and evaluations with other settings or other code, which the workflow would repeat, are
    left out.
    """
    from ebm_bench.records import collection

    chosen = suite.load(path)
    suite.refuse_other_file(path, chosen, results)
    folders = {
        f"{dataset}/{method}": results / "runs" / dataset / method
        for dataset, method in chosen.runs()
    }
    present = [folder for folder in folders.values() if (folder / "run.json").exists()]
    if not present:
        raise InputError(f"{results / 'runs'}: no run of suite {chosen.name} yet")
    for stage, file in {"trained": "run.json", "evaluated": "evaluation.json"}.items():
        missing = [name for name, folder in folders.items() if not (folder / file).exists()]
        if missing:
            typer.echo(f"not {stage} yet, left out: {', '.join(missing)}", err=True)
    outdated, unmeasured = set(), []
    for name, folder in folders.items():
        dataset, method = name.split("/")
        reasons = collection.stale(chosen, dataset, method, folder)
        for reason in list(reasons.values())[:1]:
            typer.echo(f"out of date, left out: {name}: {reason}", err=True)
        if "run.json" in reasons:
            outdated.add(folder)
        elif reasons:
            unmeasured.append(folder)
    present = [folder for folder in present if folder not in outdated]
    if not present:
        raise InputError(f"{results / 'runs'}: every run of suite {chosen.name} is out of date")
    collection.collect(present, unmeasured, chosen).write(results / "records")
    collection.keep_suite(chosen, path, results / "records")
    suite.keep_file(path, results)
    typer.echo(f"{len(present)} of {len(folders)} runs collected in {results / 'records'}")


@app.command()
def merge(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Results folders, record folders, or tables in such folders."),
    ],
    out: Annotated[Path, options.folder("--out", "Results folder of the merged records.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference of equal values.")
    ] = 1e-2,
) -> None:
    """Merge the records of several people or machines.

    A run that occurs several times is kept once. If records disagree or mix versions, nothing is
    written, and the disagreements are listed.
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
        list[str] | None, typer.Option(help="Dataset to verify; repeatable. Default: all.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Method to verify; repeatable. Default: all.")
    ] = None,
    replicate: Annotated[
        int | None,
        typer.Option(min=0, help="Replicate to train again. Default: the first that did not fail."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference of equal numbers.")
    ] = 1e-2,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file to write all numbers to.")
    ] = None,
    run_plugin: Annotated[
        bool, typer.Option("--run-plugin", help="Execute plugins of the submission.")
    ] = False,
    device: options.Device = "cpu",
    threads: options.Threads = 1,
) -> None:
    """Reproduce a submission: measure its weights again, and train one replicate again.

    The replicate belongs to the chosen run with the shortest training. The exit code is 1 if a
    number is not reproduced.
    """
    start_work(threads)
    from ebm_bench.runs import verification
    from ebm_bench.utils import devices

    submission = verification.load(folder, dataset or (), method or (), run_plugin)
    with devices.acquire(device) as acquired:
        checks = verification.verify(submission, acquired, tolerance, replicate)
    if out:
        with replacing(out) as temporary:
            verification.table(checks).to_csv(temporary, index=False)
    typer.echo(verification.summary(checks))
    if not all(check.holds for check in checks):
        raise typer.Exit(1)


@app.command()
def report(
    path: options.Suite,
    results: options.Results,
    style: options.Style = "screen",
    venue: options.Venue = "icml",
) -> None:
    """Make tables, figures and the leaderboard page from collected records.

    With --style paper, make tables and figures for a paper, with the LaTeX that includes them,
    but no page.
    """
    from ebm_bench import report as reports

    chosen = suite.load(path)
    suite.refuse_other_file(path, chosen, results)
    typer.echo("Making tables and figures; this takes a minute or two", err=True)
    if style == "paper":
        reports.build_paper(chosen, results, venue)
        typer.echo(f"Figures: {results / 'paper'}; LaTeX tables: {results / 'tables'}")
        return
    reports.build(chosen, path, results)
    typer.echo(reports.first_lines(results))


@app.command()
def show(path: options.Suite) -> None:
    """Print the leaderboard of a suite that the workflow made, and the path of its page."""
    from ebm_bench import report as reports

    chosen = suite.load(path)
    results = Path("results", chosen.name).resolve()
    suite.refuse_other_file(path, chosen, results)
    if (results / "records/runs.parquet").exists():
        from ebm_bench.records import collection, definition

        tables = collection.load(results / "records")
        described = [
            run
            for (name, d, m), run in tables.records().items()
            if name == chosen.name and m in chosen.methods and d in chosen.datasets
        ]
        definition.refuse_others(chosen, described, tables.values, results / "records")
        for run in described:
            for remark in run.remarks:
                typer.echo(f"{run.dataset}, {run.method}: {remark}")
    typer.echo(reports.first_lines(results))
    made = (results / "tables/overall.txt").stat().st_mtime
    for file in (path, *yaml_files.extended(path), results / "records/runs.parquet"):
        if file.exists() and file.stat().st_mtime > made:
            typer.echo(f"{file} is newer than this table: report again if it changed", err=True)
    (page,) = reports.outputs(chosen, results)["page"]
    typer.echo(f"Leaderboard: {page}")
