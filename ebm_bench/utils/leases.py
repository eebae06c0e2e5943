"""Leases: of several processes that could do the same work, on any machine, one does it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

log = logging.getLogger("ebm_bench")

# Without a sign of life for so long, a holder on another machine counts as dead. All processes
# must agree on it.
SECONDS = 120.0


@contextmanager
def hold(path: Path, label: str) -> Iterator[None]:
    """Hold a lease; wait for as long as another process does.

    A lease is a file that its holder touches again and again, so that it also works between
    machines that share a file system without locks. That of a process of this machine that has
    ended is free at once, any other after two minutes without a sign of life. A holder that was
    suspended for so long, and whose lease another process took, ends at once.

    Parameters
    ----------
    path : Path
        File of the lease; its folder is made.
    label : str
        What the process is to do, for messages.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def lose(loss) -> None:
        if loss.reason == "owner-changed":
            log.error("%s: another process has taken over; this one ends", label)
            os._exit(1)

    lease = SoftFileLease(
        path, lease_duration=SECONDS, on_compromise=lose, poll_interval=1.0, thread_local=False
    )
    try:
        lease.acquire(blocking=False)
    except Timeout:
        log.warning("%s: waiting for another process that works on it", label)
        lease.acquire()
    try:
        yield
    finally:
        lease.release()
