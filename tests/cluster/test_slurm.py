"""The workflow on a running Slurm: what is cancelled or refused is told, and resumed by a rerun."""

import json
import os
import subprocess
import time

import pytest
from factories import slurm
from factories.checkouts import Checkout

from ebm_bench import records

OBSTACLE = slurm.obstacle()
if OBSTACLE and os.environ.get("EBM_BENCH_SLURM") != "required":
    pytest.skip(f"no jobs are submitted to Slurm: {OBSTACLE}", allow_module_level=True)

STEPS = 20
# It stops where a checkpoint was just written, for as long as a file is missing.
WAITING = f"""
import time
from dataclasses import dataclass
from pathlib import Path

from ebm_bench.objectives.denoising_score_matching import DenoisingScoreMatching
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Waiting(DenoisingScoreMatching):
    \"\"\"Denoising score matching that waits.\"\"\"

    def loss(self, energy, x, streams, progress):
        while round(float(progress) * {STEPS}) == 16 and not Path("go").exists():
            Path("waits").touch()
            time.sleep(0.1)
        return super().loss(energy, x, streams)
"""
PLANE = {
    "energy": {"name": "mlp", "settings": {"width": 8, "depth": 1}},
    "replicates": 2,
    "budget": {"steps": STEPS, "batch_size": 16, "fit_samples": 100},
    "sampler": {"name": "langevin", "settings": {"steps": 5}},
    "metrics": {"hyvarinen_score": {"points": 100}},
    "rank_by": "hyvarinen_score",
    "curve": "hyvarinen_score",
    "curve_points": 4,
}
SUITE = {
    "name": "tiny",
    "version": 1,
    "datasets": {"two_moons": PLANE, "eight_gaussians": PLANE, "pinwheel": PLANE},
    "methods": {
        "dsm": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        "waits": {
            "objective": "waiting",
            "settings": {"sigma": 0.2},
            "datasets": ["eight_gaussians"],
        },
    },
    "plugins": ["waiting.py"],
}
RUNS = [("two_moons", "dsm"), ("eight_gaussians", "waits"), ("pinwheel", "dsm"),
        ("eight_gaussians", "dsm")]  # fmt: skip
KINDS = {"run.json": records.Run, "evaluation.json": records.Evaluation}
# A job for each dataset.
OPTIONS = ("--profile", "profiles/slurm", "--max-threads", "2", "--latency-wait", "20",
           "--slurm-init-seconds-before-status-checks", "2",
           "--seconds-between-status-checks", "2")  # fmt: skip
MINUTES_PER_JOB = 0.175
SECONDS = 900  # more than anything takes on a busy machine: what hangs is killed, and fails


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    assert not OBSTACLE, f"the workflow must be tested on Slurm: {OBSTACLE}"
    started = slurm.Slurm(tmp_path_factory.mktemp("slurm"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    # Slurm's plugin does not quote the path of the environment.
    made = Checkout(tmp_path_factory.mktemp("checkout"), "environment")
    made.write_suite(SUITE)
    (made.folder / "waiting.py").write_text(WAITING)
    return made


class Started:
    """A main process of the workflow."""

    def __init__(self, checkout, *arguments):
        targets = [f"results/tiny/runs/{d}/{m}/{file}" for d, m in RUNS for file in KINDS]
        command = checkout.command(*targets, *OPTIONS, *arguments, minutes_per_job=MINUTES_PER_JOB)
        self.log = checkout.folder / "output"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=checkout.folder, env=checkout.environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def await_(self, condition):
        ending = time.monotonic() + SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < ending, self.output
            time.sleep(0.2)
        return found

    def wait(self):
        try:
            return self.process.wait(SECONDS)
        finally:
            self.process.kill()

    @property
    def output(self):
        return self.log.read_text(errors="replace")


def train_here(checkout):
    """Carry out the same runs without the workflow."""
    pairs = [f"--dataset={d}" for d in SUITE["datasets"]]
    command = [checkout.python.with_name("ebm-bench"), "train", "--evaluate", "--suite",
               "suite.yaml", "--out", "here", *pairs]  # fmt: skip
    return subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True
    )


def numbers(folder):
    """What a run has led to, without what tells of time and place."""
    run = records.read(records.Run, folder / "run.json").model_dump(
        exclude={"cost": {"setup_seconds", "train_seconds", "peak_memory_bytes"},
                 "provenance": True, "segments": True}
    )  # fmt: skip
    for point in run["curve"]:
        del point["seconds"]
    measured = records.read(records.Evaluation, folder / "evaluation.json")
    values = measured.model_dump(exclude={"seconds", "provenance"})
    return json.dumps([run, values]), (folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def first(cluster, checkout):
    """A start in which one job is refused and another is cancelled: exit code, output, GPU jobs."""
    options = ("--retries", "0", "--set-resources", "run_pinwheel:slurm_partition=nowhere",
               "run_two_moons:gpu=1")  # fmt: skip
    main = Started(checkout, *options)
    try:
        main.await_((checkout.folder / "waits").exists)
        rules = {rule: number for number, (rule, _) in cluster.jobs().items()}
        cluster.ask("scancel", rules["run_eight_gaussians"])
        code = main.wait()
        asked = {rule: cluster.ask("scontrol", "show", "job", n) for rule, n in rules.items()}
        yield code, main.output, {rule for rule, text in asked.items() if "gpu" in text}
    finally:
        main.process.kill()
        main.process.wait()


def test_what_is_refused_or_cancelled_is_told_and_the_others_go_on(first, checkout):
    code, output, _ = first
    assert code == 1, output
    assert "invalid partition specified: nowhere" in output
    assert "SLURM status is: 'CANCELLED'" in output
    assert (checkout.folder / "results/tiny/runs/two_moons/dsm/evaluation.json").exists()


def test_only_jobs_with_a_gpu_ask_for_one(first):
    assert first[2] == {"run_two_moons"}


def test_a_second_start_resumes_and_has_the_numbers_of_one_machine(first, cluster, checkout):
    (checkout.folder / "go").touch()
    done_before = set(cluster.jobs())
    second = Started(checkout)
    local = train_here(checkout)
    assert local.returncode == 0, local.stderr
    assert second.wait() == 0, second.output
    new = {rule for number, (rule, _) in cluster.jobs().items() if number not in done_before}
    assert new == {"run_eight_gaussians", "run_pinwheel"}
    there, here = checkout.folder / "results/tiny/runs", checkout.folder / "here"
    for dataset, method in RUNS:
        assert numbers(there / dataset / method) == numbers(here / dataset / method)
    run = records.read(records.Run, there / "eight_gaussians/waits/run.json")
    assert [segment.steps for segment in run.segments] == [15, 5]
