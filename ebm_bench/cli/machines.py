"""Commands about machines: what to trust this one with, and what a suite takes of several."""

from typing import TYPE_CHECKING, Annotated

import typer

from ebm_bench.cli.options import DeviceOption, ThreadsOption, app, start_work

if TYPE_CHECKING:
    from ebm_bench.runs.doctor import Finding


@app.command()
def doctor(
    device: DeviceOption = "auto",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Objective to test, also compiled; repeatable. Default: all, one compiled."
        ),
    ] = None,
    threads: ThreadsOption = 1,
) -> None:
    """Test on this machine the ways to execute training steps, and say which to trust.

    Losses and gradients of objectives, eager and compiled, are compared with those of the CPU in
    double precision, and these with finite differences; then a short training is. Takes about a
    minute. The exit code is 1 if a way is not to be trusted.
    """
    start_work(threads)
    from ebm_bench.records import provenance
    from ebm_bench.runs import doctor as examination
    from ebm_bench.utils import devices

    with devices.acquire(device) as claimed:
        typer.echo(f"Device: {provenance.collect(claimed).hardware}")
        if claimed == "cpu":
            typer.echo("No GPU is tested: what follows holds for the processor alone.")
        found = [*examination.examine(claimed, only or [])]
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
