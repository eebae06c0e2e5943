"""What Slurm reports of a cluster and of its jobs. There may be no Slurm: no answer is no error."""

import math
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from ebm_bench.errors import InputError

# Snakemake's plugin asks for the state of its jobs every 20 seconds to 3 minutes.
_ASKS = 200
# What is in the log of a job that Slurm ended.
_CAUSES = {
    "oom-kill": "killed for memory",
    "memory limit": "killed for memory",
    "DUE TO TIME LIMIT": "killed for time",
}
_SUFFIX = (
    "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
)
# Of a job in the log of Snakemake: how it failed, where its logs are, or that it has ended well.
_EVENT = re.compile(
    r"^Error in rule (?P<rule>\S+):\n"
    r" +message: (?P<message>(?:SLURM|Job submission)(?:.|\n)*?)\n +jobid:.*\n"
    r"(?: +(?:input|output):.*\n)*(?: +log: (?P<logs>.*?) \(check log)?"
    r"|^Finished jobid: \d+ \(Rule: (?P<done>\S+)\)",
    re.M,
)


def limits(partition: str | None, cores: int, memory_of_core: int) -> tuple[float, float, int]:
    """Ask for the time limit of a partition, and for what a job can have on one of its nodes.

    Slurm may never start a job that asks for more, and then does not report it.

    Parameters
    ----------
    partition : str or None
        Its name; the default partition if there is none. Of several names, separated by commas,
        the lowest limits count.
    cores : int
        Number of cores that a job should have.
    memory_of_core : int
        Megabytes that it needs for each. Nodes with less are left out; if all have less, it is
        not known how much they have, as Slurm counts 1 MB where nothing is configured.

    Returns
    -------
    minutes, megabytes : float
        The time limit, and the memory of the largest node with so many cores. Infinite where there
        is no limit, or no answer.
    cores : int
        Number of cores that a node has, with their memory; at most the number asked for.
    """
    # Exact, or nodes of different memory are one line with the least of it.
    output = _answer("sinfo", "--noheader", "--exact", "--format=%P|%l|%m|%c")
    wanted = partition.split(",") if partition else None
    minutes: dict[str, float] = {}
    nodes: dict[str, list[tuple[float, float]]] = {}
    for line in output.split():
        name, limit, *size = f"{line}|||".split("|")[:4]
        if name.endswith("*") if wanted is None else name.rstrip("*") in wanted:
            minutes[name] = _minutes(limit)
            nodes.setdefault(name, []).append((_number(size[0]), _number(size[1])))
    usable = [
        [node for node in each if node[0] >= memory_of_core] or [(math.inf, n) for _, n in each]
        for each in nodes.values()
    ]
    for each in usable:
        cores = max(1, *(int(min(cores, n, memory / memory_of_core)) for memory, n in each))
    largest = (max((m for m, n in each if n >= cores), default=math.inf) for each in usable)
    return min(minutes.values(), default=math.inf), min(largest, default=math.inf), cores


def _number(text: str) -> float:
    """Read a number, of which there can be more (``64000+``); infinite if there is none."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else math.inf


def _minutes(limit: str) -> float:
    """Read a time: ``days-hours:minutes:seconds``, of which only the minutes must be there."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return math.inf  # "infinite", "n/a"
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60


def require_states(command: str) -> None:
    """Refuse a command for the states of jobs that never tells that some have ended.

    Parameters
    ----------
    command : str
        ``squeue``, which knows jobs until a while after their end, or ``sacct``, which needs
        accounting.

    Raises
    ------
    InputError
        Where Snakemake would wait for ever.
    """
    told = dict(re.findall(r"^(\w+) *= (.*)$", _answer("scontrol", "show", "config"), re.M))
    accounting = not told.get("AccountingStorageType", "").endswith("none")
    age = re.match(r"\d+", told.get("MinJobAge", ""))
    if command == "sacct" and not accounting:
        raise InputError("sacct: this cluster has no accounting; add --slurm-status-command squeue")
    if command == "squeue" and age and int(age[0]) < _ASKS:
        advice = (
            "add --slurm-status-command sacct" if accounting
            else f"it has no accounting either: its administrator can set {_ASKS} s"
        )  # fmt: skip
        raise InputError(
            f"squeue: this cluster forgets jobs {age[0]} s after their end (MinJobAge), before"
            f" Snakemake asks for them; {advice}"
        )


def failures(log: str) -> list[str]:
    """Read why jobs failed.

    Parameters
    ----------
    log : str
        What Snakemake's main process has logged.

    Returns
    -------
    list of str
        A line for each reason, with the rules whose last attempt failed for it.
    """
    found: dict[str, str] = {}
    for event in _EVENT.finditer(log):
        if event["done"]:
            found.pop(event["done"], None)
        else:
            found[event["rule"]] = _reason(event["message"], event["logs"] or "")
    rules: dict[str, list[str]] = {}
    for rule, reason in found.items():
        rules.setdefault(reason, []).append(rule)
    return [
        f"{', '.join(each[:3])}{f' and {len(each) - 3} more' if each[3:] else ''}: {reason}"
        for reason, each in rules.items()
    ]


def _reason(message: str, logs: str) -> str:
    """Shorten what is told of a failed job; its own logs say more than Slurm's state."""
    ended = re.match(r"SLURM-job '(\d+)' failed.* status is: '(\w+)'", message)
    if not ended:
        message = message.removesuffix(_SUFFIX)
        told = re.search(r"error message was '(.+?)'\.|exception: (.+)", message, re.S)
        return "not submitted: " + " ".join((told[1] or told[2] if told else message).split())
    texts = []
    for path in logs.split(", "):
        with suppress(OSError):
            texts.append(Path(path).read_text(encoding="utf-8", errors="replace"))
    text = "\n".join(texts)
    cause = next((said for sign, said in _CAUSES.items() if sign in text), ended[2])
    own = re.search(r"^ebm-bench: (.*)", text, re.M)
    return f"{cause} (job {ended[1]})" + (f": {own[1]}" if own else "")


def _answer(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, check=True, capture_output=True, encoding="utf-8", timeout=30
        ).stdout
    return ""
