"""The workflow on a running Slurm: what is refused, cancelled or killed is told, and resumed."""

import json
import os
import re
import subprocess
import time

import pytest
from factories import slurm
from factories.checkouts import Checkout
from factories.suites import toy

from ebm_bench import records

OBSTACLE = slurm.obstacle()
if OBSTACLE and os.environ.get("EBM_BENCH_SLURM") != "required":
    pytest.skip(f"no jobs are submitted to Slurm: {OBSTACLE}", allow_module_level=True)

STEPS = 20
MEGABYTES = 1500
# They stop where a checkpoint was just written: one for as long as a file is missing, the other to
# take more memory than its job may have at first.
PLUGIN = f"""
import os
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
            Path(f"waits{{os.getpid()}}").touch()
            time.sleep(0.1)
        return super().loss(energy, x, streams)


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Hungry(DenoisingScoreMatching):
    \"\"\"Denoising score matching that takes memory.\"\"\"

    def loss(self, energy, x, streams, progress):
        if round(float(progress) * {STEPS}) == 16:
            taken = x.new_ones({MEGABYTES} * 10**6 // 4)
            time.sleep(15)  # Slurm looks every two seconds
        return super().loss(energy, x, streams)
"""
PLANE = toy(
    STEPS,
    energy={"name": "mlp", "settings": {"width": 8, "depth": 1}},
    metrics={"hyvarinen_score": {"points": 100}},
    curve_points=4,
)
METHODS = {
    "two_moons": ["dsm"],
    "eight_gaussians": ["dsm", "waits"],
    "pinwheel": ["dsm"],
    "banana": ["dsm", "waits"],
    "ring": ["hungry"],
}
SUITE = {
    "name": "tiny",
    "version": 1,
    "datasets": dict.fromkeys(METHODS, PLANE),
    "methods": {
        name: {
            "objective": objective,
            "settings": {"sigma": 0.2},
            "datasets": [dataset for dataset in METHODS if name in METHODS[dataset]],
        }
        for name, objective in (
            ("dsm", "denoising_score_matching"),
            ("waits", "waiting"),
            ("hungry", "hungry"),
        )
    },
    "plugins": ["plugin.py"],
}
RUNS = [(dataset, method) for dataset in METHODS for method in METHODS[dataset]]
KINDS = {"run.json": records.Run, "evaluation.json": records.Evaluation}
# A job for each dataset.
OPTIONS = ("--profile", "profiles/slurm", "--max-threads", "2", "--latency-wait", "20",
           "--slurm-init-seconds-before-status-checks", "2",
           "--seconds-between-status-checks", "2")  # fmt: skip
HUNGRY = "run_ring:mem_mb=1500*attempt**2"
MINUTES_PER_JOB = 0.175
SECONDS = 900  # more than anything takes on a busy machine: what hangs is killed, and fails


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    assert not OBSTACLE, f"the workflow must be tested on Slurm: {OBSTACLE}"
    started = slurm.Slurm(tmp_path_factory.mktemp("slurm"), processors=6)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    # Slurm's plugin does not quote the path of the environment.
    made = Checkout(tmp_path_factory.mktemp("checkout"), "environment")
    made.write_suite(SUITE)
    (made.folder / "plugin.py").write_text(PLUGIN)
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
    """A start in which jobs are refused, cancelled and killed: exit code, output, GPU jobs."""
    options = ("--retries", "0", "--set-resources", "run_pinwheel:slurm_partition=nowhere",
               "run_two_moons:gpu=1", HUNGRY)  # fmt: skip
    main = Started(checkout, *options)
    try:
        main.await_(lambda: len(list(checkout.folder.glob("waits*"))) == 2)
        rules = {rule: number for number, (rule, _) in cluster.jobs().items()}
        cluster.ask("scancel", rules["run_eight_gaussians"])
        cluster.ask("scontrol", "update", f"JobId={rules['run_banana']}", "EndTime=now")
        code = main.wait()
        asked = {rule: cluster.ask("scontrol", "show", "job", n) for rule, n in rules.items()}
        yield code, main.output, {rule for rule, text in asked.items() if "gpu" in text}
    finally:
        main.process.kill()
        main.process.wait()


@pytest.mark.parametrize(
    "told",
    [
        r"run_pinwheel: not submitted: .*invalid partition specified: nowhere",
        r"run_eight_gaussians: CANCELLED \(job \d+\)",
        r"run_banana: killed for time \(job \d+\)",
        r"run_ring: killed for memory \(job \d+\)",
    ],
    ids=["refused", "cancelled", "time", "memory"],
)
def test_each_job_that_fails_is_told_in_a_line(told, first):
    code, output, _ = first
    assert code == 1, output
    assert len(re.findall(f"^{told}", output, re.M)) == 1, output


def test_the_others_go_on(first, checkout):
    assert (checkout.folder / "results/tiny/runs/two_moons/dsm/evaluation.json").exists()


def test_only_jobs_with_a_gpu_ask_for_one(first):
    assert first[2] == {"run_two_moons"}


def test_a_second_start_resumes_and_has_the_numbers_of_one_machine(first, cluster, checkout):
    (checkout.folder / "go").touch()
    done_before = set(cluster.jobs())
    second = Started(checkout, "--set-resources", HUNGRY)
    local = train_here(checkout)
    assert local.returncode == 0, local.stderr
    assert second.wait() == 0, second.output
    new = [rule for number, (rule, _) in cluster.jobs().items() if number not in done_before]
    # Killed for memory again, and tried with more.
    assert sorted(new) == [
        "run_banana", "run_eight_gaussians", "run_pinwheel", "run_ring", "run_ring",
    ]  # fmt: skip
    there, here = checkout.folder / "results/tiny/runs", checkout.folder / "here"
    for dataset, method in RUNS:
        assert numbers(there / dataset / method) == numbers(here / dataset / method)
    segments = {
        dataset: [
            segment.steps
            for segment in records.read(records.Run, there / dataset / "waits/run.json").segments
        ]
        for dataset in ("eight_gaussians", "banana")
    }
    assert list(segments.values()) == [[15, 5], [15, 5]]
