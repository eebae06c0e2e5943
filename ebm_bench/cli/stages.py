"""Commands for the stages of a suite: data, training, evaluation, tuning."""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ebm_bench.cli import options
from ebm_bench.cli.options import app, start_work
from ebm_bench.errors import InputError, choose
from ebm_bench.runs import processes, tasks
from ebm_bench.suites import suite
from ebm_bench.suites.tuning import Tuned, join

log = logging.getLogger("ebm_bench")


@app.command()
def prepare(
    path: Annotated[Path | None, typer.Option("--suite", help="YAML file of the suite.")] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Registered name of a dataset; repeatable.")
    ] = None,
    out: Annotated[
        Path | None,
        options.folder("--out", "Folder for a note on each dataset fetched."),
    ] = None,
    optional: Annotated[
        bool,
        typer.Option("--optional", help="Continue without data that serve for comparison only."),
    ] = False,
) -> None:
    """Fetch and verify the data of a suite, or of single datasets."""
    from ebm_bench.datasets import cached
    from ebm_bench.utils.files import replacing

    if not path and not dataset:
        raise InputError("name what to prepare: --suite FILE or --dataset NAME")
    start_work(threads=1)
    chosen = suite.load(path).datasets if path else {}
    names = [*chosen, *(dataset or ())]
    spared = set(cached.OPTIONAL if optional else ())
    if any("ood_auroc" in data.metrics for data in chosen.values()):
        # Image sets are measured against each other, as data from elsewhere.
        spared |= {*cached.OPTIONAL} - {*names}
        names += cached.ARRAYS
    for name in dict.fromkeys(names):
        try:
            stamp = cached.prepare(name)
            note = stamp.read_bytes() if stamp else None
        except InputError as error:
            if name not in spared:
                raise
            log.warning("%s is left out of comparisons: %s", name, error)
            note = (json.dumps({"dataset": name, "missing": str(error)}, indent=2) + "\n").encode()
        if note and out:
            with replacing(out / f"{name}.json") as temporary:
                temporary.write_bytes(note)


@app.command()
def train(
    path: options.Suite,
    out: options.Out,
    dataset: options.Datasets = None,
    method: options.Methods = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Evaluate each method after its training.")
    ] = False,
    jobs: options.Jobs = 1,
    device: options.Device = "auto",
    threads: options.Threads = 1,
    memory: Annotated[
        int,
        typer.Option(
            min=0,
            help="Memory limit of a run in MB; beyond it, it ends as out_of_memory. 0: no limit.",
        ),
    ] = 0,
) -> None:
    """Train methods of a suite on its datasets.

    Finished runs are not repeated; interrupted ones are resumed. A training that diverges or runs
    out of memory or time is a result: it is recorded, and the exit code is 0. Other failures do
    not stop the remaining methods and are listed at the end.
    """
    _carry_out(
        path, dataset, method, jobs, threads,
        out=out, device=device, evaluates=evaluate, memory=memory,
    )  # fmt: skip


@app.command()
def evaluate(
    path: options.Suite,
    out: options.Out,
    dataset: options.Datasets = None,
    method: options.Methods = None,
    jobs: options.Jobs = 1,
    device: options.Device = "auto",
    threads: options.Threads = 1,
) -> None:
    """Evaluate trained methods of a suite on its datasets."""
    _carry_out(path, dataset, method, jobs, threads, out=out, device=device, trains=False)


@app.command()
def tune(
    path: options.Suite,
    out: Annotated[Path, options.folder("--out", "Folder of the trials.")],
    dataset: Annotated[
        str | None, typer.Option(help="Run the trials of this dataset only, and write no values.")
    ] = None,
    method: options.Methods = None,
    jobs: options.Jobs = 1,
    device: options.Device = "auto",
    threads: options.Threads = 1,
) -> None:
    """Choose learning rates and settings with the same number of trials for every method.

    The section "tuning" of the suite lists learning rates and datasets. Finished trials are not
    repeated. The chosen values are written to tuned/NAME.yaml beside the suite, which reads them
    with "tuned: tuned/NAME.yaml"; those of some methods are put beside what is there.
    """
    chosen = suite.load(path, tuned=False)
    if chosen.tuning is None:
        raise InputError(f"{path}: has no section 'tuning' with the candidates and the datasets")
    file = suite.tuned_file(path, chosen)
    given = [dataset] if dataset else None
    names = choose("dataset of tuning", given, chosen.tuned_on, path)
    pairs = [pair for pair in _pairs(path, chosen, names, method) if chosen.search_of(*pair)]
    if not pairs:
        typer.echo(f"Nothing to tune: {', '.join(method or chosen.methods)} trains nothing")
        return
    others = _tuned_before(file, chosen, pairs) if method and not dataset else None
    start_work(threads)
    _check_device(device)
    from ebm_bench.runs import tuning

    if others:  # refused before the trials
        join(others, tuning.gather(chosen, []), file)
    remaining = {
        f"{name} {each}": partial(
            tuning.tune,
            chosen,
            name,
            each,
            out,
            device,
            tuning.digest_of(chosen, name, each),
        )
        for name, each in pairs
        if not tuning.is_tuned(chosen, name, each, out)
    }
    _run_all(remaining, jobs, _plugins(path, chosen))
    found = [tuning.tune(chosen, name, each, out, device) for name, each in pairs]
    if not dataset:
        values = tuning.gather(chosen, found)
        # Read anew: other methods may have been tuned meanwhile.
        if others:
            values = join(_tuned_before(file, chosen, pairs), values, file)
        tuning.write(values, file)
        typer.echo(f"{sum(len(one.trials) for one in found)} trials; the values are in {file}")


def _tuned_before(file: Path, chosen: suite.Suite, anew: Sequence[tuple[str, str]]) -> Tuned:
    """Read the tuned values of methods that the suite still has on each dataset.

    Those that are tuned anew, as (dataset, method), are left out; the trials of others must have
    been made with what the suite has now.
    """
    found = suite.read_tuned(file)
    still = chosen.tuning_jobs()
    datasets = {}
    for name, tuned in found.datasets.items():
        valid = {method for method in still.get(name, ()) if (name, method) not in anew}
        methods = {method: one for method, one in tuned.methods.items() if method in valid}
        for method, one in methods.items():
            batch_size = chosen.datasets[name].budget.batch_size
            if different := one.differences(chosen.energy_of(name, method), batch_size):
                raise InputError(
                    f"{file}: datasets.{name}.methods.{method}: was tuned with another "
                    f"{' and '.join(different)} than the suite's; tune all methods together"
                )
        datasets[name] = tuned.model_copy(update={"methods": methods})
    return found.model_copy(update={"datasets": datasets})


def _carry_out(
    path: Path,
    datasets: list[str] | None,
    methods: list[str] | None,
    jobs: int,
    threads: int,
    *,
    device: str,
    **given: Any,
) -> None:
    """Carry out the unfinished runs of datasets; the others are given as for `RunTask`."""
    chosen = suite.load(path)
    names = choose("dataset of this suite", datasets, chosen.datasets, path)
    pairs = _pairs(path, chosen, names, methods)
    start_work(threads)
    _check_device(device)
    runs = [
        tasks.RunTask(chosen, *pair, device=device, **given)
        for pair in tasks.longest_first(chosen, pairs)
    ]
    for run in runs:
        run.link()
    finished = [run for run in runs if run.is_done()]
    for run in finished:
        typer.echo(f"{run.label}: done before")
    remaining = {run.label: run for run in runs if run not in finished}
    _run_all(remaining, jobs, _plugins(path, chosen))


def _pairs(
    path: Path, chosen: suite.Suite, datasets: list[str], methods: list[str] | None
) -> list[tuple[str, str]]:
    """Pair datasets with methods that run on them; methods that run on none are refused."""
    if len(datasets) == 1:
        kind, valid = f"method of {datasets[0]}", chosen.methods_of(datasets[0])
    else:
        valid = [m for m in chosen.methods if any(m in chosen.methods_of(d) for d in datasets)]
        kind = "method of these datasets"
    named = choose(kind, methods, valid, path)
    return [(name, each) for name in datasets for each in chosen.methods_of(name) if each in named]


def _run_all(remaining: Mapping[str, processes.Task], jobs: int, plugins: Sequence[Path]) -> None:
    """Run tasks, print a line for each that ends, and exit with an error if some failed."""
    failed = {}
    for number, ended in enumerate(processes.run_all(remaining, jobs, plugins), 1):
        outcome = f"failed (exit code {ended.exit_code})" if ended.exit_code else "done"
        typer.echo(
            f"{ended.label}: {outcome} after {ended.seconds:.1f} s ({number} of {len(remaining)})"
        )
        if ended.exit_code:
            failed[ended.label] = ended.exit_code
    if failed:
        typer.echo(f"ebm-bench: failed: {', '.join(failed)}", err=True)
        raise typer.Exit(2 if set(failed.values()) == {2} else 1)


def _check_device(name: str) -> None:
    """Refuse a device that this machine lacks once, and not in every run."""
    if name not in ("auto", "cpu"):
        from ebm_bench.utils import devices

        devices.resolve(name)


def _plugins(path: Path, chosen: suite.Suite) -> list[Path]:
    return [path.parent / name for name in chosen.plugins]
