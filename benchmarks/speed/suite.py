"""Replicate-steps per processor second of a suite, here and in another checkout.

``python -m benchmarks.speed.suite --against CHECKOUT`` times every method's training steps in
both, on one thread each, in turns. Settings are those of each checkout's suite without tuning.
Setup and compilation are not part of a step, and are listed apart.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
import yaml

from ebm_bench import registry
from ebm_bench.cli.options import reported_errors
from ebm_bench.errors import InputError
from ebm_bench.suites import suite as suites

HERE = Path(__file__).parents[2]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Timing(NamedTuple):
    """What was measured of a method in one checkout.

    Attributes
    ----------
    step : float
        Processor milliseconds per step of all replicates: the median over rounds.
    setup : float
        Processor seconds of the setup: fits, and what the process itself does to compile.
    compiled : float
        Wall-clock seconds of the compilation.
    """

    step: float
    setup: float
    compiled: float


class Checkout:
    """A process that takes steps in one checkout.

    Parameters
    ----------
    folder : Path
        Checkout.
    python : str
        Its interpreter.
    suite, dataset : str
        Where the methods are.
    replicates, steps : int
        Of a training.
    """

    def __init__(
        self, folder: Path, python: str, suite: str, dataset: str, replicates: int, steps: int
    ):
        # Without the script's folder on the path, whose modules have names of Python's own.
        arguments = [python, "-P", str(Path(__file__).with_name("steps.py"))]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [*arguments, suite, dataset, str(replicates), str(steps)],
            cwd=folder,
            env={**os.environ, **threads, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: dict[str, list[dict[str, float]]] = {}

    def take(self, method: str, steps: int) -> float:
        """Take steps of a method, and return the processor seconds of one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{method} {steps}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"{method}: the process that takes its steps has ended")
        answer = json.loads(line)
        self._said.setdefault(method, []).append(answer)
        return answer["seconds"] / steps

    def timing(self, method: str, steps: int) -> Timing:
        """Summarise all rounds of a method but the first, which warms up."""
        first, *rounds = self._said[method]
        median = statistics.median(answer["seconds"] for answer in rounds)
        return Timing(1000 * median / steps, first["setup"], first["compiled"])

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def row(label: str, steps: dict[str, float], replicates: dict[str, int]) -> str:
    """Lay out milliseconds a step by checkout, and the ratio of replicate-steps."""
    first, *others = [replicates[name] / ms for name, ms in steps.items()]
    ratio = f"{first / others[0]:.2f}" if others else ""
    return "| " + " | ".join([label, *(f"{ms:.2f}" for ms in steps.values()), ratio]) + " |"


def summary(name: str, timings: list[Timing], replicates: int) -> str:
    """State the replicate-steps per processor second of a checkout, every method once."""
    rate = 1000 * len(timings) * replicates / sum(t.step for t in timings)
    setup, compiled = (sum(getattr(t, of) for t in timings) for of in ("setup", "compiled"))
    return (
        f"{name}: {replicates} replicates, {rate:,.0f} replicate-steps per processor second; "
        f"setup of all methods {setup:.0f} s, compilation {compiled:.0f} s (wall clock)."
    )


@app.command()
def main(
    against: Annotated[Path | None, typer.Option(help="Another checkout.")] = None,
    python: Annotated[str, typer.Option(help="Its Python. [default: .venv/bin/python there]")] = "",
    suite: Annotated[str, typer.Option(help="Suite: a path in both.")] = "benchmarks/toy.yaml",
    dataset: Annotated[str, typer.Option(help="Dataset of the suite.")] = "eight_gaussians",
    only: Annotated[
        list[str] | None, typer.Option(help="Method; may be repeated. [default: all]")
    ] = None,
    replicates: Annotated[tuple[int, int], typer.Option(help="Here, and there.")] = (20, 5),
    steps: Annotated[tuple[int, int], typer.Option(help="Of a training.")] = (5000, 1000),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each method.")] = 5,
    count: Annotated[int, typer.Option(min=1, help="Steps of a round.")] = 40,
) -> None:
    """Time every trained method of a suite, in turns with another checkout."""
    with reported_errors():
        methods = only or _trained(HERE / suite, dataset)
        places = {"here": (HERE, sys.executable)}
        if against:
            there = against.resolve()
            places["there"] = there, python or str(there / ".venv/bin/python")
            # Read as it is: of another layout, it may be no suite of today.
            known = yaml.safe_load((there / suite).read_text(encoding="utf-8"))["methods"]
            missing = [method for method in methods if method not in known]
            if only and missing:
                raise InputError(f"{there / suite}: has no {', '.join(missing)}")
            methods = [method for method in methods if method in known]
            if missing:
                typer.echo(f"Not there: {', '.join(missing)}\n")
        runs = {
            name: Checkout(*place, suite, dataset, r, n)
            for (name, place), r, n in zip(places.items(), replicates, steps, strict=False)
        }
        counts = dict(zip(runs, replicates, strict=False))
        found: dict[str, list[Timing]] = {name: [] for name in runs}
        try:
            typer.echo(
                "| method | " + " | ".join(f"{name}, ms a step" for name in runs) + " | ratio |"
            )
            typer.echo("|---|" + "---:|" * (len(runs) + 1))
            for label in methods:
                for _ in range(rounds + 1):
                    for run in runs.values():
                        run.take(label, count)
                for name, run in runs.items():
                    found[name].append(run.timing(label, count))
                typer.echo(row(label, {n: t[-1].step for n, t in found.items()}, counts))
        finally:
            for run in runs.values():
                run.close()
    sums = {name: sum(t.step for t in timings) for name, timings in found.items()}
    typer.echo(row("all, each once", sums, counts))
    for name, timings in found.items():
        typer.echo("\n" + summary(name, timings, counts[name]))


def _trained(path: Path, dataset: str) -> list[str]:
    loaded = suites.load(path, tuned=False)
    return [
        name
        for name in loaded.methods_of(dataset)
        if registry.describe("objectives", loaded.methods[name].objective).trains
    ]


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.speed.suite")
