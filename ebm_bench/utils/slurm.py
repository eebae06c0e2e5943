"""What Slurm reports of a cluster. Nothing here is an error: there may be no Slurm."""

import re
import subprocess
from contextlib import suppress


def longest_job(partition: str | None = None) -> float:
    """Ask for the time limit of a partition.

    Slurm never starts a job that asks for more, and does not report it.

    Parameters
    ----------
    partition : str, optional
        Its name; the default partition if there is none. Of several names, separated by commas,
        the shortest limit counts.

    Returns
    -------
    float
        Minutes; infinite where there is no limit, or no answer.
    """
    output = ""
    with suppress(OSError, subprocess.SubprocessError):
        output = subprocess.run(
            ["sinfo", "--noheader", "--format=%P|%l"],
            check=True, capture_output=True, encoding="utf-8", timeout=30,
        ).stdout  # fmt: skip
    wanted = partition.split(",") if partition else None
    limits = []
    for name, _, limit in (line.partition("|") for line in output.split()):
        if name.endswith("*") if wanted is None else name.rstrip("*") in wanted:
            limits.append(_minutes(limit))
    return min(limits, default=float("inf"))


def _minutes(limit: str) -> float:
    """Read a time: ``days-hours:minutes:seconds``, of which only the minutes must be there."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return float("inf")  # "infinite", "n/a"
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60
