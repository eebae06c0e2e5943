"""The server: started by the workflow, ends with it; forks a process for each request."""

import atexit
import ctypes
import gc
import importlib
import os
import select
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ebm_bench import registry
from ebm_bench.warm import client

_PACKAGE = Path(__file__).parents[1]
_PR_SET_PDEATHSIG = 1


class Server:
    """The server, as the process sees it that starts it; it ends with that process.

    Parameters
    ----------
    modules : sequence of str, optional
        What it imports before it forks; by default whatever training and evaluation import.
    """

    def __init__(self, modules: Sequence[str] | None = None):
        self.modules = _modules_of_jobs() if modules is None else modules
        self.process: subprocess.Popen | None = None
        self.folder: tempfile.TemporaryDirectory | None = None

    def start(self) -> str:
        """Start the server: it listens at once, and loads when it is asked for the first time.

        Returns
        -------
        str
            A definition of the command `ebm-bench` for the shells of jobs.
        """
        # For this user alone; the server removes it too, where this process cannot.
        self.folder = tempfile.TemporaryDirectory(prefix="ebm-bench-", ignore_cleanup_errors=True)
        path = Path(self.folder.name, "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(128)
            number = str(listener.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ebm_bench.warm.server", number, *self.modules],
                stdin=subprocess.PIPE,  # closed when this process ends, however it does
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the clients, which pass it on
            )
        command = shlex.join([sys.executable, "-I", "-S", client.__file__, str(path)])
        return f'ebm-bench() {{ {command} "$@"; }}; '


class _Jobs:
    """Processes that are forked from this one, each with the connection to its client."""

    def __init__(self, listener: socket.socket, owner: int):
        self.listener, self.owner = listener, owner
        self.connections: dict[int, socket.socket] = {}
        self.closing = False
        self.sources = _sources()
        self.woken, self.wake = socket.socketpair()
        self.selector = selectors.PollSelector()
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.selector.register(owner, selectors.EVENT_READ, self.close)
        self.selector.register(self.woken, selectors.EVENT_READ, self.reap)

    def serve(self) -> None:
        """Fork for each request until the owner has ended, and all jobs with it."""
        for end in (self.woken, self.wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        while self.connections or not self.closing:
            for key, _ in self.selector.select():
                key.data()

    def accept(self) -> None:
        """Fork for a request; the fork does not return."""
        if self.closing:
            return
        connection, _ = self.listener.accept()
        words, descriptors = _receive(connection)
        # Code that was edited meanwhile is for a process that reads it anew.
        if words is None or _sources() != self.sources:
            connection.close()
        elif pid := os.fork():
            self.connections[pid] = connection
            self.selector.register(connection, selectors.EVENT_READ, lambda: self.forward(pid))
        else:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for own in (self.listener, self.woken, self.wake, connection):
                own.close()
            for other in self.connections.values():
                other.close()
            _become(words, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def forward(self, pid: int) -> None:
        """Pass the signals of a client on; if the client is gone, end its job."""
        connection = self.connections.get(pid)
        if connection is None:  # reaped since it was selected
            return
        numbers = b""
        with suppress(OSError):
            numbers = connection.recv(16)
        if not numbers:
            self.selector.unregister(connection)
        for number in numbers or [signal.SIGKILL]:
            os.kill(pid, number)

    def reap(self) -> None:
        """Tell clients how their jobs ended."""
        self.woken.recv(4096)
        for pid in list(self.connections):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                connection = self.connections.pop(pid)
                with suppress(KeyError):
                    self.selector.unregister(connection)
                with suppress(OSError):
                    connection.send(client.STATUS.pack(os.waitstatus_to_exitcode(status)))
                connection.close()

    def close(self) -> None:
        """End all jobs, since nobody waits for them any more."""
        self.closing = True
        self.selector.unregister(self.listener)
        self.selector.unregister(self.owner)
        for pid in self.connections:
            os.kill(pid, signal.SIGKILL)


def _receive(connection: socket.socket) -> tuple[list[bytes] | None, list[int]]:
    """Read a request: its words, None where the client ended before the last, and descriptors."""
    descriptors: list[int] = []
    with suppress(OSError):
        head, descriptors, _, _ = socket.recv_fds(connection, client.LENGTH.size, 3)
        if len(head) == client.LENGTH.size:
            (length,) = client.LENGTH.unpack(head)
            request = connection.recv(length, socket.MSG_WAITALL)
            if len(request) == length:
                return request.split(b"\0"), descriptors
    return None, descriptors


def _become(words: list[bytes], descriptors: list[int]) -> NoReturn:
    """Turn a fork into the process that was asked for."""
    from ebm_bench import cli

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the server was killed
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    folder, count, *rest = words
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(word.split(b"=", 1) for word in rest[int(count) :])
    sys.argv = ["ebm-bench", *map(os.fsdecode, rest[: int(count)])]
    status = 0
    try:
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    # Leave without taking the interpreter apart, which would copy the memory that is shared.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _sources() -> dict[Path, tuple[int, int]]:
    """Describe the state of the package's code."""
    found = ((path, path.stat()) for path in _PACKAGE.rglob("*.py"))
    return {path: (status.st_mtime_ns, status.st_size) for path, status in found}


def _modules_of_jobs() -> list[str]:
    # Not those of plugins, which may be edited while the server runs.
    classes = [entry.module for family in registry.FAMILIES for entry in registry.packaged(family)]
    # The first optimiser imports dynamo.
    return ["ebm_bench.runs.training", "ebm_bench.runs.evaluation", "torch._dynamo", *classes]


def _load(modules: Iterable[str]) -> None:
    """Import, and do nothing with it: neither threads nor the use of a GPU survive a fork."""
    from ebm_bench.cli.options import THREAD_VARIABLES

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    # The allocator of pyarrow, which scikit-learn imports, would start a thread.
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    for name in modules:
        importlib.import_module(name)
    for family in registry.FAMILIES:
        for entry in registry.packaged(family):
            _ = entry.model  # made once, for the suites that jobs read
    gc.collect()
    gc.freeze()  # what nobody touches is shared


def main(listener: str, *modules: str) -> None:
    """Load at the first request, and serve until standard input ends."""
    with socket.socket(fileno=int(listener)) as listening:
        asked, *_ = select.select([listening, sys.stdin], [], [])
        if sys.stdin not in asked:
            jobs = _Jobs(listening, sys.stdin.fileno())
            _load(modules)
            jobs.serve()
        shutil.rmtree(Path(listening.getsockname()).parent, ignore_errors=True)
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
