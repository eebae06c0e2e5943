"""Command line: ``python -m benchmarks.speed``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ebm_bench.cli.options import reported_errors, start_work

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for table, figures and record.")] = Path(
        "results/speed"
    ),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Row to measure; may be repeated. [default: all]"),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Maximal number of rounds per row; slow rows have fewer.")
    ] = 25,
    list_rows: Annotated[bool, typer.Option("--list", help="List the rows and exit.")] = False,
) -> None:
    """Time training steps against plain implementations and other libraries, on one thread.

    Losses and gradients must agree before anything is timed. Takes about 15 minutes on an
    otherwise idle machine. Each row is saved when it is done; an interrupted run resumes. The
    other libraries are the extra "peers". The exit code is 1 if values disagree.
    """
    start_work(1)
    # The profiler's messages about missing GPUs would hide the progress bar.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from benchmarks.speed import running, tables
    from benchmarks.speed.rows import rows

    if list_rows:
        for row in rows():
            typer.echo(f"  {row.name:24} {row.title}")
        return
    with reported_errors():
        record = running.run(rows(), out, only or [], repeats)
    typer.echo(tables.summary(record))
    typer.echo(f"The table: {out / 'table.md'}")
    if tables.disagreeing(record):
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.speed")
