"""Progress of long work: a bar on a terminal, sparse lines in a log."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("ebm_bench")

LINE_SECONDS = 15.0


@contextmanager
def track(label: str, total: int, unit: str = "steps") -> Iterator[Callable[..., None]]:
    """Show the progress of long work.

    Parameters
    ----------
    label : str
        Name of the work.
    total : int
        Number of its steps; 0 if it is not known.
    unit : str
        Unit of this number.

    Yields
    ------
    callable
        Takes the number of finished steps and, optionally, a few words.
    """
    # One bar at a time: several processes on one terminal would draw over each other.
    if sys.stderr.isatty() and multiprocessing.parent_process() is None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TextColumn

        columns = *Progress.get_default_columns(), MofNCompleteColumn()
        words = TextColumn("{task.fields[words]}")
        with Progress(*columns, words, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total or None, words="")
            yield lambda done, words=unit: bar.update(task, completed=done, words=words)
        return
    last = time.monotonic()

    def line(done: int, words: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            of = f" of {total}" if total else ""
            log.info("%s: %d%s %s%s", label, done, of, unit, f", {words}" if words else "")

    yield line
