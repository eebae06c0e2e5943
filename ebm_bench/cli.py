"""The command line: one command per stage.

Whatever needs torch is imported inside the commands, after the number of threads is set.
"""

import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from ebm_bench import __version__, challenge, estimation_suite, registry, skeletons, suite
from ebm_bench.errors import InputError, unknown
from ebm_bench.report import files as report_files

# What the libraries under torch and numpy read when they are loaded, and never again.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class _Commands(TyperGroup):
    """Commands that tell bad input in one message and end with exit code 2."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"ebm-bench: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("ebm-bench: interrupted; the same command resumes it", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)

SuiteOption = Annotated[Path, typer.Option("--suite", help="YAML file of the suite.")]
DatasetOption = Annotated[str, typer.Option("--dataset", help="A dataset of the suite.")]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option("--method", help="A method of the suite; may be repeated. [default: all]"),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the runs.")]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, or cuda:N; auto takes a free GPU if there is one.")
]
ThreadsOption = Annotated[
    int, typer.Option(min=1, help="Threads; more processes gain more than more threads.")
]
StyleOption = Annotated[
    Literal["screen", "paper"],
    typer.Option(help="paper: vector figures at the width of a venue's columns, in RESULTS/paper."),
]
VenueOption = Annotated[
    Literal["icml", "neurips", "iclr", "jmlr", "aistats"],
    typer.Option(help="Whose column widths figures for a paper have."),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the suite's results.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"ebm-bench {__version__}")
        raise typer.Exit


@app.callback()
def _ebm_bench(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Compare training objectives for energy-based models."""


@app.command("list")
def list_names(
    family: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(registry.FAMILIES)}.")
    ] = None,
) -> None:
    """List the names a suite may use, with their settings and defaults."""
    if family not in (None, *registry.FAMILIES):
        raise unknown("family", family, registry.FAMILIES)
    for chosen in [family] if family else registry.FAMILIES:
        typer.secho(chosen, bold=True)
        for name, entry in registry.entries(chosen).items():
            typer.echo(f"  {name:30}{entry.summary}")
            for setting, (_, default) in entry.settings.items():
                typer.echo(f"    {setting} = {'(required)' if default is ... else default!r}")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A suite (.yaml) or plugin (.py).")],
) -> None:
    """Check a suite and show what it would run, or check what a plugin adds.

    Plugins are checked by the contract of their family; each failure is explained, and ends with
    exit code 1.
    """
    if path.suffix == ".py":
        _check_plugin(path)
    else:
        _check_suite(path)


def _check_plugin(path: Path) -> None:
    registry.load(path)  # before torch is imported, which takes time
    _start_work(1)
    from ebm_bench.contracts import plugins

    found = plugins.examine(path)
    for examination in found:
        typer.echo("\n".join(examination.lines))
    if not all(examination.holds for examination in found):
        raise typer.Exit(1)


def _check_suite(path: Path) -> None:
    content = suite.read(path)
    if isinstance(content, dict) and "panels" in content:
        return _check_stress(path)
    if isinstance(content, dict) and "models" in content:
        return _check_estimation(path)
    checked = suite.load(path)
    jobs = checked.jobs()
    typer.echo(f"{path}: valid; suite {checked.name}, version {checked.version}")
    for dataset, objective in jobs:
        typer.echo(
            f"  {dataset:24}{objective:28}{', '.join(checked.methods_of(dataset, objective))}"
        )
    runs = sum(len(checked.methods_of(dataset)) for dataset in checked.datasets)
    typer.echo(
        f"{len(checked.datasets)} datasets, {len(checked.methods)} methods: "
        f"{runs} runs in {len(jobs)} jobs"
    )


def _check_stress(path: Path) -> None:
    from ebm_bench import stress

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


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(skeletons.KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Words in small letters that are joined by _.")],
) -> None:
    """Write a commented file to begin with, which works as it stands."""
    path = skeletons.write(kind, name)
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
    path, names = challenge.find_suite(given), [name for name in datasets.split(",") if name]
    if not any(entry.family in challenge.RUN for entry in entries):
        file, told = challenge.offer(plugin, path, names, reference)
        typer.echo(f"{plugin} adds no method, so that the reference cannot be kept: {told}.")
        typer.echo(f"The suite for it is {file}; look at it, then\n  make run SUITE={file}")
        return
    chosen = challenge.read_settings(settings or [])
    prepared = challenge.prepare(plugin, path, names, chosen, reference, out)
    _start_work(threads)
    from ebm_bench import devices, report

    with devices.claim(device) as claimed:
        challenge.run(prepared, claimed)
    typer.echo("\n".join(challenge.ranks(prepared)))
    if prepared.suite.tuned:
        typer.echo("The other methods are tuned; yours has the suite's learning rate.")
    view = report.outputs(prepared.suite, prepared.out)
    typer.echo(f"The leaderboard: {view['page'][0]}; the suite with your method: {prepared.path}")


@app.command()
def prepare(
    path: Annotated[Path | None, typer.Option("--suite", help="YAML file of the suite.")] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Registered name; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a note on each data set fetched.")
    ] = None,
) -> None:
    """Fetch and verify the data of a suite, or of single datasets."""
    from ebm_bench.datasets import download
    from ebm_bench.records import replacing

    if not path and not dataset:
        raise InputError("name what to prepare: --suite FILE or --dataset NAME")
    names = [*(suite.load(path).datasets if path else ()), *(dataset or ())]
    if path and any(_is_image(name) for name in names):
        # Image sets are measured against each other, as data from elsewhere.
        names += filter(_is_image, registry.names("datasets"))
    for name in dict.fromkeys(names):
        stamp = download.prepare(name)
        if stamp and out:
            with replacing(out / f"{name}.json") as temporary:
                temporary.write_bytes(stamp.read_bytes())


@app.command()
def train(
    path: SuiteOption,
    dataset: DatasetOption,
    out: OutOption,
    method: MethodsOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Train methods of a suite on one of its datasets; resumes where it was stopped.

    A training that diverges, or runs out of memory or time, is a result: its record says so,
    and the exit code is 0.
    """
    chosen, methods = _choose(path, dataset, method)
    _start_work(threads)
    from ebm_bench import devices, training

    with devices.claim(device) as claimed:
        training.train(chosen, dataset, methods, out, claimed)


@app.command()
def evaluate(
    path: SuiteOption,
    dataset: DatasetOption,
    out: OutOption,
    method: MethodsOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Measure trained methods of a suite on one of its datasets."""
    chosen, methods = _choose(path, dataset, method)
    _start_work(threads)
    from ebm_bench import devices, evaluation

    with devices.claim(device) as claimed:
        for name in methods:
            evaluation.evaluate(chosen, dataset, name, out / dataset / name, claimed)


@app.command()
def tune(
    path: SuiteOption,
    out: Annotated[Path, typer.Option("--out", help="Folder of the trials.")],
    dataset: Annotated[
        str | None, typer.Option(help="Tune on this one only, and write no values.")
    ] = None,
    method: MethodsOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Choose learning rates and settings by the same number of trials for every method.

    What is tried, and on which datasets, the suite's section "tuning" says. Trials that are
    done are not repeated. The values go to tuned/NAME.yaml beside the suite, which uses them
    by "tuned: tuned/NAME.yaml".
    """
    chosen = suite.load(path, tuned=False)
    if chosen.tuning is None:
        raise InputError(f"{path}: has no section 'tuning', which says what to try and where")
    if method and not dataset:
        raise InputError("--method needs --dataset: values are written of all methods together")
    if dataset and dataset not in chosen.tuning.datasets:
        raise InputError(f"{path}: {unknown('dataset of tuning', dataset, chosen.tuning.datasets)}")
    places = {
        name: _methods(path, chosen, name, method)
        for name in ([dataset] if dataset else chosen.tuning.datasets)
    }
    if not any(chosen.search_of(name, m) for name, methods in places.items() for m in methods):
        typer.echo(f"Nothing to tune: {', '.join(method or chosen.methods)} trains nothing")
        return
    _start_work(threads)
    from ebm_bench import devices, tuning

    with devices.claim(device) as claimed:
        found = [
            trials
            for name, methods in places.items()
            for trials in tuning.tune(chosen, name, methods, out, claimed)
        ]
    if not dataset:
        file = suite.tuned_file(path, chosen)
        tuning.write(tuning.gather(chosen, found), file)
        typer.echo(f"{sum(len(one.trials) for one in found)} trials; the values are in {file}")


@app.command()
def collect(path: SuiteOption, results: ResultsOption) -> None:
    """Unite the records of all runs into tables; what is missing is named."""
    from ebm_bench import collecting

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
    collecting.collect(present).write(results / "records")
    collecting.keep_suite(chosen, path, results / "records")
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
    from ebm_bench import merging

    merged = merging.merge(sources, tolerance)
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
    _start_work(threads)
    from ebm_bench import devices, records, verifying

    submission = verifying.load(folder, dataset or (), method or (), run_plugin)
    with devices.claim(device) as claimed:
        checks = verifying.verify(submission, claimed, tolerance, replicate)
    if out:
        with records.replacing(out) as temporary:
            verifying.table(checks).to_csv(temporary, index=False)
    typer.echo(verifying.summary(checks))
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
    if style == "paper":
        reports.build_paper(chosen, results, venue)
        typer.echo(f"The figures: {results / 'paper'}; the LaTeX tables: {results / 'tables'}")
        return
    reports.build(chosen, path, results)
    typer.echo(reports.first_lines(results))


@app.command()
def speed(
    out: Annotated[Path, typer.Option(help="Folder of table, figures and record.")] = Path(
        "results/speed"
    ),
    only: Annotated[
        list[str] | None,
        typer.Option(help="A row to measure anew; may be repeated. [default: all]"),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Most rounds of a row; slow rows have fewer.")
    ] = 25,
    list_rows: Annotated[bool, typer.Option("--list", help="List the rows and end.")] = False,
) -> None:
    """Measure training steps beside the published way and other libraries, on one thread.

    Losses and gradients must agree before anything is timed, in turns. Takes about ten
    minutes; let the machine do nothing else. Each row is saved when it is done, and the same
    command goes on after an interruption. The other libraries are the extra "peers". The exit
    code is 1 where values disagree.
    """
    _start_work(1)
    # What the profiler says of GPUs that are not there would hide the progress.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from ebm_bench.speed import running, tables
    from ebm_bench.speed.rows import rows

    if list_rows:
        for row in rows():
            typer.echo(f"  {row.name:22}{row.title}")
        return
    record = running.run(rows(), out, only or [], repeats)
    typer.echo(tables.summary(record))
    typer.echo(f"The table: {out / 'table.md'}")
    if tables.disagreeing(record):
        raise typer.Exit(1)


@app.command()
def estimate(
    path: SuiteOption,
    model: Annotated[str, typer.Option("--model", help="A model of the suite.")],
    out: OutOption,
    method: MethodsOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Estimate the parameters of a model from many data sets; what is there already is kept.

    A data set without a finite or converged estimate is a result: its status says so, and the
    exit code is 0.
    """
    chosen = estimation_suite.load(path)
    for kind, names, given in (
        ("model", chosen.models, [model]),
        ("method", chosen.methods, method or []),
    ):
        for name in given:
            if name not in names:
                raise InputError(f"{path}: {unknown(f'{kind} of this suite', name, names)}")
    _start_work(threads)
    from ebm_bench import estimating

    estimating.run(chosen, model, list(dict.fromkeys(method or chosen.methods)), out)


@app.command()
def compare(
    path: SuiteOption,
    results: ResultsOption,
    style: StyleOption = "screen",
    venue: VenueOption = "icml",
) -> None:
    """Compare estimates with theory: figures, tables, and what holds of published claims."""
    chosen = estimation_suite.load(path)
    from ebm_bench.report import estimation

    estimation.build(chosen, results, venue if style == "paper" else None)
    (claims,) = report_files.estimation_outputs(results)["claims"]
    typer.echo(claims.read_text())


@app.command()
def show(path: SuiteOption) -> None:
    """Show the leaderboard that the workflow made of a suite, and where its page is."""
    from ebm_bench import report as reports

    chosen = suite.load(path)
    results = Path("results", chosen.name).resolve()
    typer.echo(reports.first_lines(results))
    (page,) = reports.outputs(chosen, results)["page"]
    typer.echo(f"The leaderboard: {page}")


@app.command("stress")
def run_stress(
    path: Annotated[Path, typer.Option("--suite", help="YAML file of the stress tests.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the panels.")],
    panel: Annotated[
        list[str] | None, typer.Option(help="A failure mode; may be repeated. [default: all]")
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Train and measure failure modes over their knobs; resumes where it was stopped."""
    from ebm_bench import stress

    loaded = stress.load(path)
    for name in panel or []:
        if name not in loaded.panels:
            raise InputError(f"{path}: {unknown('panel', name, loaded.panels)}")
    chosen = list(dict.fromkeys(panel or loaded.panels))
    for name in chosen:  # before anything is run
        loaded.expand(name, str(path))
    _start_work(threads)
    from ebm_bench import devices

    with devices.claim(device) as claimed:
        for name in chosen:
            stress.run(loaded, name, out, claimed)


@app.command("stress-report")
def report_stress(
    path: Annotated[Path, typer.Option("--suite", help="YAML file of the stress tests.")],
    results: Annotated[Path, typer.Option(help="Folder of the results, with the panels in it.")],
    style: StyleOption = "screen",
    venue: VenueOption = "icml",
) -> None:
    """Draw all failure modes with what theory says of them, and make the table."""
    from ebm_bench import stress
    from ebm_bench.report import stress as reports

    chosen = venue if style == "paper" else None
    for written in reports.build(stress.load(path), results, chosen):
        typer.echo(written)


def _is_image(dataset: str) -> bool:
    return registry.describe("datasets", dataset).attributes.get("kind") == "image"


def _choose(
    path: Path, dataset: str, methods: Iterable[str] | None
) -> tuple[suite.Suite, list[str]]:
    chosen = suite.load(path)
    if dataset not in chosen.datasets:
        raise InputError(f"{path}: {unknown('dataset of this suite', dataset, chosen.datasets)}")
    return chosen, _methods(path, chosen, dataset, methods)


def _methods(
    path: Path, chosen: suite.Suite, dataset: str, methods: Iterable[str] | None
) -> list[str]:
    offered = chosen.methods_of(dataset)
    for name in methods or []:
        if name not in offered:
            raise InputError(f"{path}: {unknown(f'method of {dataset}', name, offered)}")
    return list(dict.fromkeys(methods or offered))


def _start_work(threads: int) -> None:
    """Set the number of threads, before torch is imported, and show what is logged."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("ebm_bench").setLevel(logging.INFO)


def main() -> None:
    """Run the command line."""
    app(prog_name="ebm-bench")
