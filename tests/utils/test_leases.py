"""Of several processes one works at a time, and none waits for the dead."""

import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest

from ebm_bench.errors import InputError
from ebm_bench.utils import leases

FORK = multiprocessing.get_context("fork")
HERE = socket.gethostname()


def hold(path, seconds, began, end):
    leases.SECONDS = seconds
    with leases.hold(path, "a run"):
        began.set()
        end.wait()


def set_back(path, hours):
    """Have a file seem older, as if a clock had jumped."""
    changed = path.stat().st_mtime - 3600 * hours
    os.utime(path, (changed, changed))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / ".lease"


@pytest.fixture
def start(path):
    """Start a process that holds a lease until it is told to end."""
    started = []

    def start(seconds=leases.SECONDS):
        began, end = FORK.Event(), FORK.Event()
        process = FORK.Process(target=hold, args=(path, seconds, began, end))
        process.start()
        started.append(process)
        assert began.wait(300)
        return process, end

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_second_process_waits_for_the_first(start, path, monkeypatch):
    _, end = start()
    told = []

    def tell(message, label):
        told.append(message % label)
        end.set()

    monkeypatch.setattr(leases.log, "warning", tell)
    with leases.hold(path, "ring dsm"):
        assert end.is_set()
    assert told == ["ring dsm: waiting for another process that works on it"]
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lease_of_a_process_that_was_killed_is_free(number, start, path, caplog):
    process, _ = start()
    os.kill(process.pid, number)
    process.join()
    started = time.monotonic()
    with leases.hold(path, "a run"):
        assert time.monotonic() < started + leases.SECONDS / 2


@pytest.mark.parametrize("hours", [0, 3, -3])  # between its clock and that of this machine
def test_the_lease_of_another_machine_that_is_silent_expires(hours, start, path, monkeypatch):
    process, _ = start(seconds=1.5)
    process.kill()
    process.join()
    path.write_text(path.read_text().replace(HERE, "another-node"))
    set_back(path, -hours)
    monkeypatch.setattr(leases, "SECONDS", 1.5)
    started = time.monotonic()
    with leases.hold(path, "a run"):
        assert time.monotonic() > started + 1.4


def test_a_clock_that_jumps_takes_no_lease_from_who_is_alive(start, path, monkeypatch):
    # Longer than a busy machine keeps its holder from touching it, and touched once before its end.
    monkeypatch.setattr(leases, "SECONDS", 9.0)
    _, end = start(seconds=9.0)
    for seconds in (0.5, 1.0, 1.5, 2.0):
        threading.Timer(seconds, set_back, (path, 3)).start()
    threading.Timer(4.0, end.set).start()
    with leases.hold(path, "a run"):
        assert end.is_set()


def test_who_has_lost_its_lease_ends(start, path):
    process, _ = start(seconds=0.5)
    taken = path.read_text().replace(HERE, "another-node")
    path.unlink()
    path.write_text(taken)
    process.join(300)
    assert process.exitcode == 1
    assert path.read_text() == taken


def test_who_has_no_lease_any_more_ends(start, path):
    process, _ = start(seconds=0.5)
    path.unlink()
    process.join(300)
    assert process.exitcode == 1


def test_results_are_locked_once(tmp_path):
    held = leases.lock(tmp_path)
    with pytest.raises(InputError, match=f"another process works on {tmp_path}"):
        leases.lock(tmp_path)
    held.release()
    leases.lock(tmp_path).release()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_of_the_file_system_work_goes_on(number, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert leases.lock(tmp_path) is None
    assert "its file system has no locks" in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        leases.lock(tmp_path)
