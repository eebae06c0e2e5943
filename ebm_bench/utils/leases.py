"""Leases: of several processes that could do the same work, on any machine, one does it."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLease, Timeout

from ebm_bench.errors import InputError

log = logging.getLogger("ebm_bench")

# Without a sign of life for so long, a holder on another machine counts as dead. All processes
# must agree on it.
SECONDS = 120.0
# What file systems answer that have no locks, as many of clusters.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def lock(folder: Path) -> FileLock | None:
    """Lock a folder of results until this process ends, however it does.

    Returns
    -------
    FileLock or None
        None where the file system has no locks: then the leases of single runs must do.

    Raises
    ------
    InputError
        If another process has locked it.
    """
    # A file in place of a lock would remain of a process that was killed on another machine.
    found = FileLock(folder / ".lock", fallback_to_soft=False)
    try:
        found.acquire(blocking=False)
    except Timeout:
        raise InputError(f"another process works on {folder}; wait for it") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: its file system has no locks; start one process at a time", folder)
        return None
    return found


@contextmanager
def hold(path: Path, label: str) -> Iterator[None]:
    """Hold a lease; wait for as long as another process does.

    A lease is a file that its holder touches again and again, so that it also works between
    machines that share a file system without locks. That of a process of this machine that has
    ended is free at once, any other after two minutes without a sign of life. A holder whose lease
    is gone, was taken by another process or cannot be touched for most of that time ends at once.

    Parameters
    ----------
    path : Path
        File of the lease; its folder is made.
    label : str
        What the process is to do, for messages.

    Raises
    ------
    InputError
        If the lease cannot be written.
    """

    def lose(loss) -> None:
        # Whatever the reason, nobody touches the lease any more, and another process may take it.
        log.error("%s: its lease is lost (%s), and this process ends", label, loss.reason)
        os._exit(1)

    lease = SoftFileLease(
        path, lease_duration=SECONDS, on_compromise=lose, poll_interval=1.0, thread_local=False
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lease.acquire(blocking=False)
        except Timeout:
            log.warning("%s: waiting for another process that works on it", label)
            lease.acquire()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lease.release()
