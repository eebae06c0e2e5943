"""Answers of Slurm and logs of Snakemake, made up."""

import math

import pytest

from ebm_bench.errors import InputError
from ebm_bench.utils import slurm


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """Have programs named as Slurm's that give an answer."""

    def set_up(text, code=0):
        for name in ("sinfo", "scontrol"):
            (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return set_up


NODES = """short*|1:00:00|64000|8
long|2-01:30:00|512000|32
long|2-01:30:00|64000|64
mixed|1:00:00|8000|64
mixed|1:00:00|24000|8
mixed|1:00:00|1|128
unset|infinite|1|16
tests|10:30|8000|2
more|n/a|64000+|8+
cut|1:00:00
none|1:00:00|n/a|n/a
|||
"""


@pytest.mark.parametrize(
    ("partition", "minutes", "memory", "cores"),
    [
        (None, 60, 64000, 8),
        ("short", 60, 64000, 8),
        ("long", 2 * 24 * 60 + 90, 512000, 32),  # the others have less memory each
        ("mixed", 60, 24000, 8),
        ("unset", math.inf, math.inf, 16),
        ("tests", 10.5, 8000, 2),
        ("long,short", 60, 64000, 8),
        ("more", math.inf, 64000, 8),
        ("cut", 60, math.inf, 40),
        ("none", 60, math.inf, 40),
        ("nowhere", math.inf, math.inf, 40),
    ],
)
def test_a_partition_has_its_limits(partition, minutes, memory, cores, answer):
    answer(NODES)
    assert slurm.limits(partition, 40, 3000) == (minutes, memory, cores)


def test_the_largest_memory_is_of_nodes_with_the_cores(answer):
    answer("mixed*|1:00:00|24000|8\nmixed*|1:00:00|512000|2")
    assert slurm.limits(None, 8, 3000) == (60, 24000, 8)
    assert slurm.limits(None, 2, 3000) == (60, 512000, 2)


@pytest.mark.parametrize(("text", "code"), [("", 0), ("Unable to contact slurm controller", 1)])
def test_no_answer_is_no_limit(text, code, answer):
    answer(text, code)
    assert slurm.limits(None, 8, 3000) == (math.inf, math.inf, 8)
    slurm.require_states("sacct")


def test_without_slurm_there_is_no_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.limits(None, 8, 3000) == (math.inf, math.inf, 8)


@pytest.mark.parametrize(
    ("command", "storage", "age", "advice"),
    [
        ("squeue", "none", 300, None),
        ("sacct", "slurmdbd", 30, None),
        ("squeue", "slurmdbd", 100, "add --slurm-status-command sacct"),
        ("squeue", "none", 30, "its administrator can set 200 s"),
        ("sacct", "none", 300, "add --slurm-status-command squeue"),
    ],
)
def test_what_would_never_tell_of_an_end_is_refused(command, storage, age, advice, answer):
    answer(f"AccountingStorageType   = accounting_storage/{storage}\nMinJobAge      = {age} sec")
    if advice is None:
        slurm.require_states(command)
    else:
        with pytest.raises(InputError, match=f"^{command}: .*{advice}$"):
            slurm.require_states(command)


FAILED = """
Error in rule run_{rule}:
    message: {message}
    jobid: 3
    input: suite.yaml, a.py
    output: results/tiny/runs/evaluation.json
    log: {logs} (check log file(s) for error details)
    shell:
        ebm-bench train 2>here.log
        (command exited with non-zero exit code)
Logfile here.log:
Error in rule run_{rule}:
    message: None
    jobid: 0
"""
ENDED = (
    "SLURM-job '7' failed, SLURM status is: '{}'. Detailed failure reason unavailable (status"
    " command is not 'sacct').For further error details see the log files."
)
REFUSED = (
    "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition: nowhere\n"
    "sbatch: error: failed'.\n    sbatch call:\n        sbatch --parsable\n"
)
INVALID = (
    "Job submission failed with exception: The account me is invalid. Valid:\na, bFor further error"
    " details see the cluster/cloud log and the log files of the involved rule(s)."
)


@pytest.mark.parametrize(
    ("message", "own", "its", "told"),
    [
        (ENDED.format("FAILED"), "", "Detected 1 oom-kill event", "killed for memory (job 7)"),
        (ENDED.format("FAILED"), "", "Exceeded job memory limit", "killed for memory (job 7)"),
        (ENDED.format("TIMEOUT"), "", "CANCELLED DUE TO TIME LIMIT", "killed for time (job 7)"),
        (ENDED.format("CANCELLED"), "", "CANCELLED AT 3", "CANCELLED (job 7)"),
        (ENDED.format("FAILED"), "\nebm-bench: no data\n", "", "FAILED (job 7): no data"),
        (REFUSED, "", "",
         "not submitted: sbatch: error: invalid partition: nowhere sbatch: error: failed"),
        ("SLURM sbatch failed. The error message was ''.", "", "",
         "not submitted: SLURM sbatch failed. The error message was ''."),
        (INVALID, "", "", "not submitted: The account me is invalid. Valid: a, b"),
    ],
)  # fmt: skip
def test_each_job_that_failed_has_one_line_that_says_why(message, own, its, told, tmp_path):
    logs = [tmp_path / "own.log", tmp_path / "7.log"]
    for path, text in zip(logs, (own, its), strict=True):
        path.write_text(text)
    log = FAILED.format(rule="ring", message=message, logs=", ".join(map(str, logs)))
    assert slurm.failures(log) == [f"run_ring: {told}"]


def test_of_attempts_the_last_counts(tmp_path):
    first, second = (
        FAILED.format(rule=rule, message=ENDED.format("FAILED"), logs=tmp_path / "none.log")
        for rule in ("ring", "banana")
    )
    again = first.replace("FAILED", "CANCELLED")
    log = first + second + again + "Finished jobid: 4 (Rule: run_banana)\n1 of 6 steps\n"
    assert slurm.failures(log) == ["run_ring: CANCELLED (job 7)"]


def test_what_all_jobs_fail_for_is_one_line(tmp_path):
    rules = [f"ring@{i}" for i in range(1, 6)]
    log = "".join(FAILED.format(rule=rule, message=REFUSED, logs=tmp_path) for rule in rules)
    (told,) = slurm.failures(log)
    assert told.startswith("run_ring@1, run_ring@2, run_ring@3 and 2 more: not submitted: sbatch: ")
