"""Commands for parameter estimation, stress tests and papers."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench.cli import options
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import choose
from ebm_bench.report import files as report_files
from ebm_bench.studies.estimation import suite as estimation_suite


@app.command()
def estimate(
    path: options.Suite,
    model: Annotated[str, typer.Option("--model", help="Model of the suite.")],
    out: options.Out,
    method: options.Methods = None,
    threads: options.Threads = 1,
) -> None:
    """Estimate the parameters of a model from many data sets; finished estimates are kept.

    A data set without a finite or converged estimate is a result: it is recorded with a status,
    and the exit code is 0.
    """
    chosen = estimation_suite.load(path)
    choose("model of this suite", [model], chosen.models, path)
    methods = choose("method of this suite", method, chosen.methods, path)
    start_work(threads)
    from ebm_bench.studies.estimation import jobs

    jobs.run(chosen, model, methods, out)


@app.command()
def compare(
    path: options.Suite,
    results: options.Results,
    style: options.Style = "screen",
    venue: options.Venue = "icml",
) -> None:
    """Compare estimates with theory and with published claims, in figures and tables."""
    chosen = estimation_suite.load(path)
    from ebm_bench.studies.estimation import report

    report.build(chosen, results, venue if style == "paper" else None)
    (claims,) = report_files.estimation_outputs(results)["claims"]
    typer.echo(claims.read_text(encoding="utf-8"))


@app.command("stress")
def run_stress(
    path: options.Suite,
    out: options.Out,
    panel: Annotated[
        list[str] | None, typer.Option(help="Failure mode; repeatable. Default: all.")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = 1,
) -> None:
    """Train and measure failure modes at several levels of difficulty; resumes if interrupted."""
    from ebm_bench.studies.stress import suite as stress

    loaded = stress.load(path)
    chosen = choose("panel", panel, loaded.panels, path)
    for name in chosen:  # before anything is run
        loaded.expand(name, str(path))
    start_work(threads)
    from ebm_bench.studies.stress.run import run
    from ebm_bench.utils import devices

    with devices.acquire(device) as acquired:
        for name in chosen:
            run(loaded, name, out, acquired)


@app.command("stress-report")
def report_stress(
    path: options.Suite,
    results: options.Results,
    style: options.Style = "screen",
    venue: options.Venue = "icml",
) -> None:
    """Draw all failure modes beside theory, and write the tables."""
    from ebm_bench.studies.stress import report as reports
    from ebm_bench.studies.stress import suite as stress

    chosen = venue if style == "paper" else None
    for written in reports.build(stress.load(path), results, chosen):
        typer.echo(written)


@app.command("paper")
def run_paper(
    path: options.Suite,
    out: options.Out,
    device: options.Device = "auto",
    threads: options.Threads = 1,
) -> None:
    """Reproduce the comparison of a paper; resumes if interrupted."""
    from ebm_bench.studies.papers import suite as papers

    loaded = papers.load(path)
    start_work(threads)
    from ebm_bench.studies.papers.run import run
    from ebm_bench.utils import devices

    with devices.acquire(device) as acquired:
        run(loaded, out, acquired)


@app.command("claims")
def report_papers(
    path: Annotated[list[Path], typer.Option("--suite", help="YAML file of a paper; repeatable.")],
    results: Annotated[
        Path,
        options.folder("--results", "Folder with a folder of results for each paper."),
    ],
) -> None:
    """Decide the claims of papers that have been run, and draw their figures."""
    from ebm_bench.studies.papers import suite as papers

    loaded = papers.load_all(path)
    from ebm_bench.studies.papers import report

    report.build(loaded, results)
    (claims,) = report_files.papers_outputs(results, list(loaded))["claims"]
    typer.echo(claims.read_text(encoding="utf-8"))
