"""Answers of Slurm, made up."""

import math

import pytest

from ebm_bench.utils import slurm


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """Have a program named as Slurm's that gives an answer."""

    def set_up(text, code=0):
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {code}\n")
        (tmp_path / "sinfo").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return set_up


@pytest.mark.parametrize(
    ("partition", "minutes"),
    [
        (None, 60),
        ("short", 60),
        ("long", 2 * 24 * 60 + 90),
        ("free", math.inf),
        ("tests", 10.5),
        ("long,short", 60),
        ("nowhere", math.inf),
    ],
)
def test_a_partition_has_its_limit(partition, minutes, answer):
    answer("short*|1:00:00\nlong|2-01:30:00\nfree|infinite\ntests|10:30")
    assert slurm.longest_job(partition) == minutes


@pytest.mark.parametrize(("text", "code"), [("", 0), ("Unable to contact slurm controller", 1)])
def test_no_answer_is_no_limit(text, code, answer):
    answer(text, code)
    assert slurm.longest_job() == math.inf


def test_without_slurm_there_is_no_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.longest_job() == math.inf
