"""Methods of a user's own: a file to begin with, and its place among the others."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench import registry
from ebm_bench.cli.options import DeviceOption, ThreadsOption, app, start_work
from ebm_bench.errors import InputError
from ebm_bench.plugins import compare, templates


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(templates.KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Words in small letters that are joined by _.")],
) -> None:
    """Write a commented file to begin with, which works as it stands."""
    path = templates.write(kind, name)
    typer.echo(f"{path}: {kind} {name}; edit it, then\n  ebm-bench check {path}")
    typer.echo(f"  ebm-bench run --plugin {path} --suite toy --datasets eight_gaussians,two_moons")


@app.command("run")
def run_plugin(
    plugin: Annotated[Path, typer.Option(help="Python file with the method.")],
    given: Annotated[str, typer.Option("--suite", help="File of a suite, or its name.")],
    datasets: Annotated[
        str, typer.Option(help="Datasets of the suite, joined by commas. [default: all]")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option(help="key=value; may be repeated. [default: defaults]")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Records of the suite's methods. [default: results/reference/SUITE]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results. [default: results/PLUGIN/SUITE]")
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Put a method of your own beside the reference records of a suite.

    The plugin's methods are trained and measured with the suite's budget, seeds and metrics; those
    of the suite are not run again. A dataset, energy, metric or sampler needs other runs: for it
    a suite is written, with what it costs to run it.
    """
    entries = registry.load(plugin)
    path = compare.find_suite(given)
    names = [name.strip() for name in datasets.split(",") if name.strip()]
    if not any(entry.family in compare.RUN for entry in entries):
        if settings or out:
            raise InputError(
                f"{plugin} adds no method to run, so that --settings and --out say nothing: leave "
                "them out, and write settings into the suite that this makes"
            )
        file, told = compare.offer(plugin, path, names, reference)
        typer.echo(f"{plugin} adds no method, so that the reference cannot be kept: {told}.")
        typer.echo(f"The suite for it is {file}; look at it, then\n  make run SUITE={file}")
        return
    chosen = compare.read_settings(settings or [])
    prepared = compare.prepare(plugin, path, names, chosen, reference, out)
    start_work(threads)
    from ebm_bench import report
    from ebm_bench.utils import devices

    with devices.claim(device) as claimed:
        compare.run(prepared, claimed)
    typer.echo("\n".join(compare.ranks(prepared)))
    if prepared.suite.tuned:
        typer.echo("The other methods are tuned; yours has the suite's learning rate.")
    view = report.outputs(prepared.suite, prepared.out)
    typer.echo(f"The leaderboard: {view['page'][0]}; the suite with your method: {prepared.path}")
