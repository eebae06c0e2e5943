"""A clock that jumps back, as if all files were of the future, changes no number."""

import os
import time

import pytest
from factories.interruption import killed_before
from factories.records import numbers
from factories.suites import make_suite

from ebm_bench import records
from ebm_bench.runs import training
from ebm_bench.runs.tasks import RunTask
from ebm_bench.utils import leases

JUMP = 3 * 3600.0  # seconds


@pytest.fixture
def jump(tmp_path, monkeypatch):
    """Set the clock back, from which all files that are there seem to be of the future."""
    now = time.time

    def jump():
        monkeypatch.setattr(time, "time", lambda: now() - JUMP)
        for path in tmp_path.rglob("*"):
            changed = path.stat().st_mtime + JUMP
            os.utime(path, (changed, changed))

    return jump


def task(out):
    return RunTask(make_suite(), "eight_gaussians", "dsm", out, device="cpu")


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_goes_on_with_the_same_numbers(killed, tmp_path, jump, monkeypatch, caplog):
    caplog.set_level("INFO")
    proper, out, saved = training._Trainer._update, tmp_path / "out", []
    write = training.checkpoints.write
    monkeypatch.setattr(
        training.checkpoints,
        "write",
        lambda state, path: (saved.append(state["plain"]["step"]), write(state, path)),
    )

    def update(self):  # while the step is timed
        if self.step == 5:
            jump()
        proper(self)

    if killed:
        with killed_before(step=5):
            task(out)()
        jump()
    else:
        monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        monkeypatch.setattr(training._Trainer, "_update", update)
    task(out)()
    if not killed:
        assert saved == [*range(2, 13)]  # after the jump, too
    monkeypatch.setattr(training._Trainer, "_update", proper)
    task(tmp_path / "whole")()
    run = "eight_gaussians/dsm"
    seconds = [point.seconds for point in records.read(records.Run, out / run / "run.json").curve]
    assert 0 <= min(seconds) <= max(seconds) < JUMP
    assert numbers(out / run) == numbers(tmp_path / "whole" / run)
    assert ("eight_gaussians dsm: resumed at step 5" in caplog.messages) == killed
    assert task(out).is_done()


def test_a_lease_of_the_future_is_free_when_its_holder_has_ended(tmp_path, jump):
    path = tmp_path / ".lease"
    with leases.hold(path, "a run"):
        content = path.read_text()
    path.write_text(content.replace(str(os.getpid()), "4194304"))  # more than there can be
    jump()
    started = time.monotonic()
    with leases.hold(path, "a run"):
        assert time.monotonic() < started + leases.SECONDS / 2
