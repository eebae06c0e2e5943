"""Commands for plugins: write a template, and rank a method against a suite."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench import registry
from ebm_bench.cli import options
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import InputError
from ebm_bench.plugins import ranking, templates


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(templates.KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Registered name, in snake_case.")],
) -> None:
    """Write a commented template of a plugin that works as it is."""
    path = templates.write(kind, name)
    typer.echo(f"{path}: {kind} {name}; edit it, then\n  ebm-bench check {path}")
    typer.echo(f"  ebm-bench run --plugin {path} --suite toy --datasets eight_gaussians,two_moons")


@app.command("run")
def run_plugin(
    plugin: Annotated[Path, typer.Option(help="Python file that registers the method.")],
    given: Annotated[str, typer.Option("--suite", help="YAML file or name of a suite.")],
    datasets: Annotated[
        str, typer.Option(help="Datasets of the suite, separated by commas. Default: all.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option(help="Setting of the method, as key=value; repeatable.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Records of the suite's own methods. Default: results/reference/SUITE."),
    ] = None,
    out: Annotated[
        Path | None, options.folder("--out", "Results folder. Default: results/PLUGIN/SUITE.")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = 1,
) -> None:
    """Compare a method of your own with the reference records of a suite.

    The plugin's methods are trained and measured with the budget, seeds and metrics of the suite,
    whose own methods are not run again. A dataset, energy, metric or sampler affects those too:
    for it a suite is written instead, with an estimate of its cost.
    """
    entries = registry.load(plugin)
    path = ranking.find_suite(given)
    names = [name.strip() for name in datasets.split(",") if name.strip()]
    if not any(entry.family in ranking.RUN for entry in entries):
        if settings or out:
            raise InputError(
                f"{plugin} adds no method to run, so --settings and --out have no effect: remove "
                "them, and put settings into the suite that this command writes"
            )
        file, cost = ranking.offer(plugin, path, names, reference)
        typer.echo(f"{plugin} adds no method, so the reference records do not apply: {cost}.")
        typer.echo(f"The suite for it is {file}; review it, then\n  make run SUITE={file}")
        return
    chosen = ranking.read_settings(settings or [])
    prepared = ranking.prepare(plugin, path, names, chosen, reference, out)
    start_work(threads)
    from ebm_bench import report
    from ebm_bench.utils import devices

    with devices.acquire(device) as acquired:
        ranking.run(prepared, acquired)
    typer.echo("\n".join(ranking.ranks(prepared)))
    if prepared.suite.tuned:
        typer.echo("The other methods are tuned; yours has the suite's learning rate.")
    view = report.outputs(prepared.suite, prepared.out)
    typer.echo(f"Leaderboard: {view['page'][0]}; suite with your method: {prepared.path}")
