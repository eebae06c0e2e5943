"""A suite that is killed again and again ends as one that is left alone.

Few kills as a rule; `EBM_BENCH_KILLS=30` asks for more, and for a longer training.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
import torch
from factories.checkouts import Checkout
from factories.records import numbers
from factories.suites import describe, few, toy

from ebm_bench.runs.tasks import RunTask
from ebm_bench.suites import suite

KILLS = int(os.environ.get("EBM_BENCH_KILLS", 3))
TOY = toy(
    width=32,
    budget={"steps": 150 * KILLS, "batch_size": 128, "fit_samples": 500},
    sampler={"name": "langevin", "settings": {"steps": 10}},
    curve_points=20 + 4 * KILLS,  # at each, progress is saved
)
SUITE = describe(
    {
        **few("pcd"),
        "dsm": {"objective": "denoising_score_matching"},
        "nce": {"objective": "noise_contrastive", "settings": {"noise": "gaussian_mixture"}},
    },
    {"two_moons": TOY},
    "killed",
)
RUNS = "results/killed/runs"


VICTIMS = ("group", "main", "job")


class Killer:
    """Start the workflow, and kill it at random moments.

    By turns all processes, the first alone, or one of the others and a moment later all.
    """

    def __init__(self, checkout):
        self.checkout = checkout
        self.random = random.Random(0)
        self.startup = 1.0  # seconds until something is saved, as far as they are known
        self.amid = 0  # kills amid a training, after it saved progress
        self.victims = Counter()

    def _start(self):
        return subprocess.Popen(
            self.checkout.command("run_two_moons"),
            cwd=self.checkout.folder,
            env=self.checkout.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _saved(self):
        """The files in which progress is saved, with the times of the last changes."""
        found = set()
        for name in ("checkpoint.pt", "run.json", "evaluation.json"):
            for path in (self.checkout.folder / RUNS).rglob(name):
                with suppress(FileNotFoundError):
                    found.add((path, path.stat().st_mtime_ns))
        return found

    def kill(self):
        """Kill one start; False if it ended before."""
        process, started = self._start(), time.monotonic()
        try:
            # Before anything is saved, or after so many times that kills are spread over the work.
            # One comes early, so that it is amid a training on a machine of any speed.
            most = 4 * TOY["curve_points"] // (KILLS + 1)
            saves = self.random.randrange(most) if self.amid else 2
            pause = self.random.uniform(0, self.startup if saves == 0 else 0.3)
            seen = before = self._saved()
            for number in range(saves):
                while (now := self._saved()) == seen and process.poll() is None:
                    time.sleep(0.002)
                seen = now
                if number == 0:
                    self.startup = time.monotonic() - started
            time.sleep(pause)
            ended = process.poll() is not None
        finally:
            jobs = []
            victim = VICTIMS[self.victims.total() % len(VICTIMS)]
            with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it may have ended
                jobs = psutil.Process(process.pid).children(recursive=True)
                if victim == "job" and jobs:
                    with suppress(psutil.NoSuchProcess):
                        self.random.choice(jobs).kill()
                    time.sleep(self.random.uniform(0, 0.5))
                kill = os.kill if victim == "main" else os.killpg
                kill(process.pid, signal.SIGKILL)
                self.victims[victim] += 1
            process.wait()
            left = psutil.wait_procs(jobs, timeout=600)[1]  # jobs end with the workflow
        assert not left
        saved = self._saved() != before
        self.amid += saved and any((self.checkout.folder / RUNS).rglob("checkpoint.pt"))
        return not ended


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("killed"))
    checkout.write_suite(SUITE)
    killer = Killer(checkout)
    kills = 0
    while kills < KILLS and killer.kill():
        kills += 1
    print(f"{kills} kills, {killer.amid} of them amid a training, {dict(killer.victims)}")
    print("steps without one:")
    done = checkout.snakemake("run_two_moons")
    assert done.returncode == 0, done.stdout
    assert killer.amid  # or all came too early, or too late
    return checkout


@pytest.fixture(scope="module")
def whole(killed):
    """The same suite, left alone in this process, with as many threads as runs have."""
    chosen = suite.load(killed.folder / "suite.yaml")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for method in SUITE["methods"]:
            RunTask(chosen, "two_moons", method, killed.folder / "whole", device="cpu")()
    finally:
        torch.set_num_threads(threads)
    return killed.folder / "whole"


@pytest.mark.parametrize("method", SUITE["methods"])
def test_a_suite_that_is_killed_again_and_again_has_the_same_numbers(method, killed, whole):
    folder = killed.folder / RUNS / "two_moons" / method
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    print(method, *(segment["steps"] for segment in record["segments"]))
    assert numbers(folder) == numbers(whole / "two_moons" / method)
    assert {path.name for path in folder.iterdir()} == {
        *("run.json", "weights.safetensors", "evaluation.json", "pictures.npz")
    }


def test_nothing_half_written_is_left(killed):
    left = [path.name for path in (killed.folder / RUNS / ".kept").rglob("*") if path.is_file()]
    assert not [name for name in left if name.endswith(".tmp") or name == "checkpoint.pt"]
