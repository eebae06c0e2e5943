"""Commands that list names and check suites and plugins."""

from pathlib import Path
from typing import Annotated

import typer

from ebm_bench import registry
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import unknown
from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.suites import suite
from ebm_bench.suites.base import kind_of
from ebm_bench.utils import yaml_files


@app.command("list")
def list_names(
    family: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(registry.FAMILIES)}.")
    ] = None,
) -> None:
    """List registered names with their settings and defaults."""
    if family and family not in registry.FAMILIES:
        raise unknown("family", family, registry.FAMILIES)
    for chosen in [family] if family else registry.FAMILIES:
        typer.secho(chosen, bold=True)
        for name, entry in registry.entries(chosen).items():
            typer.echo(f"  {name:30}{entry.summary}")
            for setting, (_, default) in entry.settings.items():
                typer.echo(f"    {setting} = {'(required)' if default is ... else default!r}")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Suite (.yaml) or plugin (.py).")],
) -> None:
    """Check a suite and list its runs, or check the classes of a plugin.

    Plugins are checked by the contract of their family. Each failure is explained; the exit code
    is then 1.
    """
    if path.suffix == ".py":
        _check_plugin(path)
    else:
        _check_suite(path)


def _check_plugin(path: Path) -> None:
    registry.load(path)  # before torch is imported, which takes time
    start_work(1)
    from ebm_bench.plugins.checks import plugins

    found = plugins.examine(path)
    for examination in found:
        typer.echo("\n".join(examination.lines))
    if not all(examination.holds for examination in found):
        raise typer.Exit(1)


def _check_suite(path: Path) -> None:
    checks = {
        "leaderboard": _check_leaderboard,
        "stress": _check_stress,
        "estimation": _check_estimation,
    }
    checks[kind_of(yaml_files.read(path), path)](path)


def _check_leaderboard(path: Path) -> None:
    checked = suite.load(path)
    jobs = checked.jobs()
    typer.echo(f"{path}: valid; suite {checked.name}, version {checked.version}")
    width = max(map(len, jobs), default=0) + 2
    for dataset, methods in jobs.items():
        typer.echo(f"  {dataset:{width}}{', '.join(methods)}")
    runs = sum(map(len, jobs.values()))
    typer.echo(f"{len(checked.datasets)} datasets, {len(checked.methods)} methods: {runs} runs")


def _check_stress(path: Path) -> None:
    from ebm_bench.studies.stress import suite as stress

    checked = stress.load(path)
    expanded = {panel: checked.expand(panel, str(path)) for panel in checked.panels}
    typer.echo(f"{path}: valid; stress tests {checked.name}, version {checked.version}")
    for panel, suites in expanded.items():
        methods = ", ".join(checked.panels[panel].methods)
        typer.echo(f"  {panel:24}{len(suites)} values of the knob: {methods}")
    runs = sum(len(point.methods) for suites in expanded.values() for point in suites.values())
    typer.echo(f"{len(expanded)} panels: {runs} runs; ebm-bench stress runs them")


def _check_estimation(path: Path) -> None:
    checked = estimation_suite.load(path)
    typer.echo(f"{path}: valid; suite of estimation {checked.name}, version {checked.version}")
    count = 0
    for model in checked.models:
        typer.echo(f"  {model:24}{', '.join(checked.methods)}")
        count += sum(len(checked.grid(model, method)) for method in checked.methods)
    typer.echo(
        f"{len(checked.models)} models, {len(checked.methods)} methods: "
        f"{count * checked.data_sets} estimates; ebm-bench estimate makes them"
    )
