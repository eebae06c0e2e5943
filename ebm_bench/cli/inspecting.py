"""Commands that list names and check suites and plugins."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from ebm_bench import registry
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.entries import Entry
from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.suites import suite
from ebm_bench.suites.base import Head, kind_of
from ebm_bench.utils import yaml_files


@app.command("list")
def list_names(
    family: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(registry.FAMILIES)}.")
    ] = None,
) -> None:
    """List registered names by their kind, with settings and defaults."""
    if family and family not in registry.FAMILIES:
        raise unknown("family", family, registry.FAMILIES)
    for chosen in [family] if family else registry.FAMILIES:
        entries = sorted(registry.entries(chosen).values(), key=_kind)
        width = max(len(entry.name) for entry in entries) + 2
        for kind, alike in groupby(entries, _kind):
            typer.secho(f"{chosen}: {kind}" if kind else chosen, bold=True)
            for entry in alike:
                typer.echo(f"  {entry.name:{width}}{entry.summary}")
                for setting, (_, default) in entry.settings.items():
                    typer.echo(f"    {setting} = {'(required)' if default is ... else default!r}")


def _kind(entry: Entry) -> str:
    """Name the kind of an objective or of a dataset; no other families have any."""
    return getattr(entry, "kind", "")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Suite (.yaml) or plugin (.py).")],
) -> None:
    """Check a suite and list its runs, or check the classes of a plugin.

    The data of a suite are inspected as well: shape, type, values and size. Plugins are checked
    against the contract of their family; failures are explained, and the exit code is then 1.
    """
    if path.suffix == ".py":
        _check_plugin(path)
        return
    kind = kind_of(yaml_files.read(path), path)
    checked, rows, counts = _CHECKS[kind](path)
    typer.echo(f"{path}: valid; {kind} suite {checked.name}, version {checked.version}")
    width = max(map(len, rows), default=0) + 2
    for name, words in rows.items():
        typer.echo(f"  {name:{width}}{words}")
    typer.echo(counts)


def _check_plugin(path: Path) -> None:
    registry.load(path)  # before torch is imported, which takes time
    start_work(1)
    from ebm_bench.plugins.checks import plugins

    found = plugins.examine(path)
    for examination in found:
        typer.echo("\n".join(examination.lines))
    if not all(examination.holds for examination in found):
        raise typer.Exit(1)


# A checked suite, a few words on each of its parts, and how much there is to run.
_Checked = tuple[Head, dict[str, str], str]


def _check_leaderboard(path: Path) -> _Checked:
    checked = suite.load(path)
    jobs = checked.jobs()
    spaces = _look_at_data(path, checked)
    runs = sum(map(len, jobs.values()))
    rows = {dataset: ", ".join(methods) + spaces[dataset] for dataset, methods in jobs.items()}
    total = f"{len(checked.datasets)} datasets, {len(checked.methods)} methods: {runs} runs"
    return checked, rows, total


def _look_at_data(path: Path, checked: suite.Suite) -> dict[str, str]:
    """Refuse data with which runs would not start; describe how points are made of the others."""
    spaces = dict.fromkeys(checked.jobs(), "")
    for name in spaces:
        entry = registry.describe("datasets", name)
        # The tests look at those of the package, without files. Torch takes time to import.
        if entry.packaged and not entry.files:
            continue
        from ebm_bench.runs import assembly

        try:
            space = assembly.load_data(checked, name).space
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        spaces[name] = f" ({space})" if space else ""
    return spaces


def _check_stress(path: Path) -> _Checked:
    from ebm_bench.studies.stress import suite as stress

    checked = stress.load(path)
    rows, runs = {}, 0
    for name, panel in checked.panels.items():
        values = len(checked.expand(name, str(path)))
        rows[name] = f"{values} values of the knob: {', '.join(panel.methods)}"
        runs += values * len(panel.methods)
    return checked, rows, f"{len(rows)} panels: {runs} runs; ebm-bench stress runs them"


def _check_estimation(path: Path) -> _Checked:
    checked = estimation_suite.load(path)
    rows = dict.fromkeys(checked.models, ", ".join(checked.methods))
    count = sum(len(checked.grid(*run)) for run in checked.runs()) * checked.data_sets
    total = f"{len(rows)} models, {len(checked.methods)} methods: {count} estimates"
    return checked, rows, f"{total}; ebm-bench estimate makes them"


def _check_paper(path: Path) -> _Checked:
    from ebm_bench.studies.papers import suite as papers

    checked = papers.load(path)
    methods: dict[str, dict[str, None]] = {}
    for cell in checked.cells:
        methods.setdefault(cell.dataset, {})[cell.method] = None
    rows = {dataset: ", ".join(named) for dataset, named in methods.items()}
    total = f"{len(checked.claims)} claims: {len(checked.cells)} runs; ebm-bench paper makes them"
    return checked, rows, total


_CHECKS: dict[str, Callable[[Path], _Checked]] = {
    "leaderboard": _check_leaderboard,
    "stress": _check_stress,
    "estimation": _check_estimation,
    "paper": _check_paper,
}
