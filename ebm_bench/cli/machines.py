"""Commands about machines: what works on this one, and what a suite costs on several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebm_bench.cli import options
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import InputError
from ebm_bench.suites import suite

if TYPE_CHECKING:
    from ebm_bench.runs.doctor import Finding


@app.command()
def doctor(
    device: options.Device = "auto",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Objective to test, compiled too; repeatable. Default: all, and one compiled."
        ),
    ] = None,
    threads: options.Threads = 1,
) -> None:
    """Test which ways of executing training steps can be trusted on this machine.

    Compares losses and gradients of all objectives, eager and compiled, with double precision on
    the CPU, checks the latter against finite differences, and compares a short training. Takes
    about a minute. The exit code is 1 if a way fails.
    """
    start_work(threads)
    from ebm_bench.records import provenance
    from ebm_bench.runs import doctor as examination
    from ebm_bench.utils import devices

    with devices.acquire(device) as acquired:
        typer.echo(f"Device: {provenance.collect(acquired).hardware}")
        if acquired == "cpu":
            typer.echo("No GPU is tested: what follows holds for the processor alone.")
        found = [*examination.examine(acquired, only or [])]
    typer.echo(_table(found))
    for finding in found:
        for fault in finding.faults:
            typer.echo(f"{finding.label}: {fault}")
    bad = [finding.label for finding in found if finding.faults]
    good = [one.label for one in found if one.objectives and not one.faults]
    typer.echo(f"To be trusted: {'; '.join(good) or 'nothing'}")
    if bad:
        typer.echo(f"Not to be trusted: {'; '.join(bad)}")
        raise typer.Exit(1)


def _table(found: "list[Finding]") -> str:
    from tabulate import tabulate

    rates = [finding.rate for finding in found if finding.rate]
    rows = [
        {
            "path": finding.label,
            "objectives": finding.objectives or "",
            "loss": _error(finding.loss, finding),
            "gradient": _error(finding.gradient, finding),
            "training": _error(finding.training, finding),
            "MiB": f"{finding.peak / 2**20:.0f}" if finding.peak else "",
            "steps/s": f"{finding.rate:.0f}" if finding.rate else "",
            "speed": f"{finding.rate / rates[0]:.2f}" if finding.rate else "",
            "trust": finding.missing or ("no" if finding.faults else "yes"),
        }
        for finding in found
    ]
    note = (
        "Columns loss, gradient, training: largest relative error. MiB: peak memory of the "
        "training. speed: steps a second, in units of the eager path."
    )
    return f"{tabulate(rows, headers='keys', disable_numparse=True)}\n\n{note}"


def _error(error: float | None, finding: "Finding") -> str:
    return "" if error is None or not finding.objectives else f"{error:.0e}"


@app.command()
def plan(
    path: Annotated[Path, typer.Argument(metavar="SUITE", help="YAML file of the suite.")],
    nodes: Annotated[
        int, typer.Option(min=1, help="Number of cores or GPUs, each with one run at a time.")
    ] = 1,
    records: Annotated[
        Path | None,
        typer.Option(
            help="Records of earlier runs. Default: those of the suite, or its reference results."
        ),
    ] = None,
) -> None:
    """Estimate the cost of a suite from earlier records: time, jobs and storage."""
    from ebm_bench.records import collection
    from ebm_bench.runs import planning

    chosen = suite.load(path)
    results = Path("results", chosen.name), Path("results", "reference", chosen.name)
    given = [records] if records else [folder / "records" for folder in results]
    folder = next((one for one in given if (one / "runs.parquet").exists()), None)
    if folder is None:
        looked = ", ".join(map(str, given))
        raise InputError(f"{looked}: no records of runs to estimate by; name some with --records")
    known = {key[1:]: run for key, run in collection.load(folder).records().items()}
    found = planning.plan(chosen, known, folder.parent / "runs", nodes)
    hours = "{:.2f} h".format
    measuring = "evaluations, which are not in the records, are not included"
    if found.measuring is not None:
        measuring = f"{hours(found.measuring / 3600)} of evaluations"
    size = "not in the records" if found.storage is None else f"{found.storage / 1e6:.0f} MB"
    typer.echo(f"Runs: {found.runs}, the cost of {found.recorded} from {folder}")
    typer.echo(f"Processor time: {hours(found.training / 3600)} of training; {measuring}")
    each = "1 core or GPU" if nodes == 1 else f"{nodes} cores or GPUs"
    typer.echo(
        f"On {each}: {hours(found.wall / 3600)}, the longest run {hours(found.longest / 3600)}"
    )
    typer.echo(f"Jobs of a cluster: {found.jobs}")
    typer.echo(f"Storage: {size}")
