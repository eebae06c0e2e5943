"""Tasks in processes of their own, several at once.

The processes are forked from one that has imported what runs need (`preload`), since importing
torch takes longer than many a run. No process outlives the one that started it.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection, util
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from ebm_bench import registry
from ebm_bench.errors import InputError, explanation
from ebm_bench.utils.files import process_exists

log = logging.getLogger("ebm_bench")

Task = Callable[[], object]

INTERRUPTED = 130
# Name of the variable with the process id of the workflow, with which its jobs end.
WORKFLOW = "EBM_BENCH_WORKFLOW"
# The allocator of pyarrow, which scikit-learn imports, would start a thread, and threads do not
# survive a fork.
ENVIRONMENT = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_POLL_SECONDS = 1.0


class Ended(NamedTuple):
    """A task that has ended.

    Attributes
    ----------
    label : str
        Its name.
    exit_code : int
        0 for success, 2 for bad input and errors of plugins, -N for signal N.
    seconds : float
        Wall-clock time.
    """

    label: str
    exit_code: int
    seconds: float


def run_all(
    tasks: Mapping[str, Task], jobs: int = 1, plugins: Sequence[Path] = ()
) -> Iterator[Ended]:
    """Run tasks in the given order; those that fail do not stop the others.

    Parameters
    ----------
    tasks : mapping of str to callable
        By label. If there are several, they must be picklable.
    jobs : int
        Number of tasks at once. Several tasks run in processes of their own even if not at
        once, so that one that is killed does not end the others; a single one runs in this.
    plugins : sequence of Path
        Plugin files to load in each process.

    Yields
    ------
    Ended
        Each task when it ends. Errors have been printed.
    """
    if len(tasks) > 1:
        yield from _run_processes(tasks, jobs, plugins)
        return
    for label, task in tasks.items():
        started = time.monotonic()
        exit_code = _attempt(task)
        yield Ended(label, exit_code, time.monotonic() - started)


def _run_processes(
    tasks: Mapping[str, Task], jobs: int, plugins: Sequence[Path]
) -> Iterator[Ended]:
    os.environ.update(ENVIRONMENT)
    context = _context()
    level = logging.getLogger("ebm_bench").level
    waiting = list(tasks.items())
    running: dict[Any, tuple[BaseProcess, str, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                label, task = waiting.pop(0)
                process: BaseProcess = context.Process(target=_child, args=(task, plugins, level))
                process.start()
                running[process.sentinel] = process, label, time.monotonic()
            for sentinel in connection.wait(running):
                process, label, started = running.pop(sentinel)
                process.join()
                yield Ended(label, process.exitcode or 0, time.monotonic() - started)
    finally:
        for process, *_ in running.values():
            process.terminate()
        for process, *_ in running.values():
            process.join()


def _context() -> ForkServerContext | SpawnContext:
    """Find a way to start processes: forks of one, or new ones where there are no sockets."""
    if not _has_sockets():
        log.info("no folder for sockets; each run starts a new process, which takes longer")
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ebm_bench.runs.preload"])
    return context


def _has_sockets() -> bool:
    """Choose the folder of this process's sockets, whose paths have about a hundred bytes."""
    chosen = tempfile.tempdir
    for folder in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]):
        with suppress(OSError), tempfile.TemporaryDirectory("", "pymp-", folder) as trial:
            # As long as the paths of multiprocessing.
            connection.Listener(str(Path(trial, "listener-12345678"))).close()
            tempfile.tempdir = folder
            util.get_temp_dir()  # made once for each process
            tempfile.tempdir = chosen
            return True
    return False


def _child(task: Task, plugins: Sequence[Path], level: int) -> None:
    """Run a task in a process that was forked for it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel
    _end_after(lambda: connection.wait([sentinel]))
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("ebm_bench").setLevel(level)

    def load_and_run() -> None:
        for path in plugins:
            registry.load(path)
        task()

    try:
        sys.exit(_attempt(load_and_run))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _attempt(task: Task) -> int:
    """Run a task and print its errors; returns the exit code."""
    try:
        task()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may also exit
        message = explain(error)
        if message is None and not isinstance(error, Exception):
            raise
        if message is None or (WORKFLOW in os.environ and not isinstance(error, InputError)):
            traceback.print_exc()  # into the log of the rule
        if message is None:
            return 1
        print(f"ebm-bench: {message}", file=sys.stderr, flush=True)
        return 2
    return 0


def explain(error: BaseException) -> str | None:
    """Message for bad input, a plugin's own error, and a file that the system refuses."""
    if isinstance(error, InputError):
        return str(error)
    return registry.raised_in(error) or explanation(error)


def end_with_workflow() -> None:
    """End this process as soon as the workflow that started it has ended, killed or not."""
    workflow = int(os.environ.get(WORKFLOW, 0))

    def wait() -> None:
        while process_exists(workflow):
            time.sleep(_POLL_SECONDS)

    if workflow:
        _end_after(wait)


def _end_after(wait: Callable[[], object]) -> None:
    """End this process at once when a function returns."""

    def watch() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
