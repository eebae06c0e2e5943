"""A disk that is full, or cannot be written any more: one message, and nothing is lost."""

import re
from contextlib import contextmanager
from itertools import count

import pandas as pd
import pytest
import yaml
from factories import commands
from factories.disks import mounted
from factories.records import numbers
from factories.suites import describe, few, toy

from ebm_bench.records import collection
from ebm_bench.report.figures import screen
from ebm_bench.runs import evaluation, training
from ebm_bench.utils import leases

SUITE = describe(few("dsm"), {"two_moons": toy(12, curve_points=4)})
ONE = "--dataset two_moons --method dsm --device cpu --out {}/runs"
COMMANDS = {
    "train": f"train {ONE}",
    "evaluate": f"evaluate {ONE}",
    "collect": "collect --results {}",
    "report": "report --results {}",
}
# The file of each that is written first.
FIRST = {
    "train": ".lease",
    "evaluate": "(.lease|evaluation.json)",
    "collect": "runs.parquet",
    "report": "two_moons.md",
}
# Of each stage a function that it calls halfway, how often it has called that when the obstacle
# comes, and the file that it writes next.
HALFWAY = {
    "train": (training._Trainer, "take_step", 7, "checkpoint.pt"),
    "evaluate": (evaluation, "_pictures", 0, "pictures.npz"),
    "collect": (collection, "keep_suite", 0, "suite.yaml"),
    "report": (screen, "write", 0, "two_moons-densities.png"),
}
REASONS = {"fill": "no space left on device", "protect": "read-only file system"}


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def run(tmp_path):
    """Run the command of a stage; returns what it said."""
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(SUITE, sort_keys=False), encoding="utf-8")

    def run(stage, results, exit_code=0):
        command = [part.format(results) for part in COMMANDS[stage].split()]
        done = commands.run(*command, "--suite", path)
        assert done.exit_code == exit_code, done.output
        return done.output

    return run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return {path.relative_to(folder) for path in files(folder)}


def refused(said, file, obstacle):
    """Whether a command said in one line which file it could not write, and why."""
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if REASONS[obstacle] in line.lower())
    assert re.match(rf"ebm-bench: /.*/{file}: ", line)


def values(results):
    return pd.read_parquet(results / "records" / "values.parquet")[["metric", "value", "outside"]]


@contextmanager
def before_call(owner, name, number, obstacle):
    """Inside of this, an obstacle comes before a function is called for the so-manieth time."""
    proper, calls = getattr(owner, name), count()

    def obstructed(*arguments, **options):
        if next(calls) == number:
            obstacle()
        return proper(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, obstructed)
        yield


@pytest.mark.parametrize("obstacle", REASONS)
def test_each_stage_says_so_and_goes_on_when_the_disk_can_be_written_again(
    obstacle, disk, run, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    # The lease of a process that lives on, as this one does, stays where it cannot be removed.
    monkeypatch.setattr(leases, "SECONDS", 1.0)
    disk.results.mkdir()
    obstruct = getattr(disk, obstacle)
    for stage, (*halfway, file) in HALFWAY.items():
        obstruct()
        refused(run(stage, disk.results, 2), FIRST[stage], obstacle)
        disk.free()
        before = files(disk.results)
        with before_call(*halfway, obstruct):
            refused(run(stage, disk.results, 2), file, obstacle)
        assert before.items() <= files(disk.results).items()
        disk.free()
        run(stage, disk.results)
        run(stage, tmp_path / "whole")
    assert "two_moons dsm: resumed at step 7" in caplog.messages
    place = "runs/two_moons/dsm"
    assert numbers(disk.results / place) == numbers(tmp_path / "whole" / place)
    pd.testing.assert_frame_equal(values(disk.results), values(tmp_path / "whole"))
    assert names(disk.results) == names(tmp_path / "whole")
