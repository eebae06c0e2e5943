"""The application, shared options, and the setup of a process."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ebm_bench import __version__
from ebm_bench.runs import processes
from ebm_bench.utils.files import require_folder

# Libraries below torch and numpy read these once, when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print bad input, and errors of plugins, as one message and exit with code 2.

    If interrupted, exit with 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("ebm-bench: interrupted; the same command resumes it", err=True)
        raise typer.Exit(130) from None
    except BaseException as error:  # a plugin may also exit
        message = processes.explain(error)
        if message is None and isinstance(error, OSError) and error.errno in _FULL:
            message = error.strerror  # of what is printed
        if message is None:
            raise
        typer.echo(f"ebm-bench: {message}", err=True)
        raise typer.Exit(2) from None


class _Commands(TyperGroup):
    def invoke(self, ctx):
        with reported_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)


def folder(flag: str, text: str) -> Any:
    """Declare an option for a folder; a file in its place is refused before any work is lost."""

    def checked(path: Path | None) -> Path | None:
        if path is not None:
            require_folder(path)
        return path

    return typer.Option(flag, help=text, callback=checked)


Suite = Annotated[Path, typer.Option("--suite", help="YAML file of the suite.")]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Dataset of the suite; repeatable. Default: all."),
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Method of the suite; repeatable. Default: all."),
]
Out = Annotated[Path, folder("--out", "Folder of the runs.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N; auto uses a free GPU if there is one.")
]
Threads = Annotated[
    int,
    typer.Option(
        min=1, help="Threads per process; several jobs scale better than several threads."
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Number of runs at once, each in its own process.")]
Style = Annotated[
    Literal["screen", "paper"],
    typer.Option(help="paper: vector figures at a venue's column width, in RESULTS/paper."),
]
Venue = Annotated[
    Literal["icml", "neurips", "iclr", "jmlr", "aistats"],
    typer.Option(help="Venue that sets the column widths of figures for a paper."),
]
Results = Annotated[Path, folder("--results", "Results folder of the suite.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"ebm-bench {__version__}")
        raise typer.Exit


@app.callback()
def _ebm_bench(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show version."),
    ] = False,
) -> None:
    """Compare training objectives for energy-based models."""


def start_work(threads: int) -> None:
    """Set the number of threads before torch is imported, and show log messages.

    Under the workflow, this process ends with the workflow, even if that is killed.
    """
    processes.end_with_workflow()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("ebm_bench").setLevel(logging.INFO)
