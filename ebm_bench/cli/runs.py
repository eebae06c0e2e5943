"""The stages of a suite: data, training, evaluation, tuning."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ebm_bench import registry
from ebm_bench.cli.options import (
    DatasetOption,
    DeviceOption,
    MethodsOption,
    OutOption,
    SuiteOption,
    ThreadsOption,
    app,
    start_work,
)
from ebm_bench.errors import InputError, unknown
from ebm_bench.suites import suite


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
    from ebm_bench.utils.files import replacing

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
    start_work(threads)
    from ebm_bench.runs import training
    from ebm_bench.utils import devices

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
    start_work(threads)
    from ebm_bench.runs import evaluation
    from ebm_bench.utils import devices

    with devices.claim(device) as claimed:
        for name in methods:
            folder = out / dataset / name
            if not (folder / "run.json").exists():
                raise InputError(f"{folder}: has no trained model; `ebm-bench train` leaves one")
            evaluation.evaluate(chosen, dataset, name, folder, claimed)


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
    start_work(threads)
    from ebm_bench.runs import tuning
    from ebm_bench.utils import devices

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


def _is_image(dataset: str) -> bool:
    return registry.describe("datasets", dataset).kind == "image"


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
