"""What jobs ask of machines: cores, memory and time, GPUs, a cluster."""

import os

import pytest
from factories.checkouts import END, RUNS, SUITE, probe


@pytest.fixture(scope="module")
def small(checkout):
    checkout.write_suite(SUITE)
    return checkout


def test_where_gpus_can_share_the_work_each_dataset_is_a_job(make_checkout, tmp_path):
    planned = make_checkout(tmp_path).planned("--resources", "gpu=4", suite=None)
    alone = {f"run_{name}" for name in ("eight_gaussians", "two_moons", "mnist", "cifar10")}
    assert planned == {"prepare", *alone, *END}


@pytest.fixture
def cluster(make_checkout, tmp_path):
    """A copy whose jobs run elsewhere, in an environment that they find."""
    checkout = make_checkout(tmp_path, "environment")
    checkout.write_suite(SUITE)
    silent = tmp_path / "silent"  # whatever Slurm this machine has
    silent.mkdir()
    (silent / "sinfo").write_text("#!/bin/sh\nexit 1\n")
    (silent / "sinfo").chmod(0o755)
    checkout.environment["PATH"] = f"{silent}:{checkout.environment['PATH']}"
    return checkout


def test_on_a_cluster_runs_are_packed_by_what_they_take(cluster):
    options = ("--resources", "cluster=1")
    packed = {"prepare", "run_eight_gaussians_and_1_more", "run_mnist_and_1_more", *END}
    assert cluster.planned(*options, suite=None) == packed
    alone = {f"run_{name}" for name in ("eight_gaussians", "two_moons", "mnist", "cifar10")}
    planned = cluster.planned(*options, suite=None, minutes_per_job=0.6)
    assert planned == {"prepare", *alone, *END}


def test_on_a_cluster_a_job_asks_for_what_its_runs_need(cluster):
    # Whatever the machine has that submits it.
    options = ("--printshellcmds", "--profile", "profiles/slurm", "--attempt", "3")
    done = cluster.snakemake("--dry-run", *options)
    # The last attempt, in which a run that takes more is given up.
    assert done.stdout.count("--jobs 4 --memory 8100 ") == len(RUNS), done.stdout
    defaults = ("--default-resources", "gpu=1", "slurm_partition=small")
    found = probe(cluster, "--profile", "profiles/slurm", *defaults)
    assert {found["threads"][name] for name in RUNS} == {1}
    working = {name for name, number in found["gpus"].items() if number}
    assert working >= RUNS
    assert not [name for name in working if name.startswith(("stress_", "estimate_"))]


@pytest.fixture
def limits(cluster, tmp_path):
    """Have a Slurm that tells of its partitions."""
    programs = tmp_path / "programs"
    programs.mkdir()
    told = "small*|2-00:00:00|100000|2\nall|15:00|20000|64\nunset|15:00|1|64"
    (programs / "sinfo").write_text(f"#!/bin/sh\necho '{told}'\n")
    (programs / "sinfo").chmod(0o755)
    cluster.environment["PATH"] = f"{programs}:{cluster.environment['PATH']}"
    return cluster


@pytest.mark.parametrize("name", ["'all'", "'all,small'", "unset"])
def test_no_job_asks_for_more_time_or_cores_than_its_partition_has(name, limits):
    given = ("--default-resources", f"slurm_partition={name}")
    found = probe(limits, "--profile", "profiles/slurm", *given)
    assert set(found["third"]["runtime"].values()) == {15}
    # Nor for more cores than a node has.
    assert {found["threads"][run] for run in RUNS} == {2 if "small" in name else 4}


@pytest.mark.parametrize(
    ("partition", "run"),
    # Of a quarter of the job's memory, nine tenths.
    [("small", 8100), ("'all'", 4500), ("unset", 8100)],
)
def test_no_further_attempt_asks_for_more_memory_than_a_node_has(partition, run, limits):
    given = ("--default-resources", f"slurm_partition={partition}")
    options = ("--profile", "profiles/slurm", "--printshellcmds", "--attempt", "3")
    done = limits.snakemake("--dry-run", *options, *given)
    assert done.stdout.count(f" --memory {run} ") == len(RUNS), done.stdout


def test_a_cluster_that_forgets_jobs_is_refused_before_one_is_submitted(limits, tmp_path):
    answers = {
        "scontrol": "echo 'MinJobAge = 30 sec'",
        "sbatch": f"touch '{tmp_path}/submitted'; exit 1",
    }
    for name, answer in answers.items():
        (tmp_path / "programs" / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / "programs" / name).chmod(0o755)
    done = limits.snakemake("run_two_moons", "--profile", "profiles/slurm", "--retries", "0")
    assert done.returncode == 2, done.stdout
    assert "this cluster forgets jobs 30 s after their end (MinJobAge)" in done.stdout
    assert not (tmp_path / "submitted").exists()


def test_on_a_cluster_jobs_of_studies_ask_for_more_each_time(cluster):
    third = probe(cluster, "--profile", "profiles/slurm")["third"]
    studies = third["mem_mb"].keys() - RUNS
    assert {name.partition("_")[0] for name in studies} == {"stress", "estimate", "paper"}
    assert {third["mem_mb"][name] for name in studies} == {3 * 3000}
    assert min(third["runtime"][name] for name in studies - {"paper"}) == 3 * 60
    assert third["runtime"]["paper"] >= 3 * 20


def test_a_space_in_the_path_of_the_environment_is_told_before_jobs_fail(small):
    done = small.snakemake("--dry-run", "--profile", "profiles/slurm")
    assert done.returncode == 2
    assert "a space in the path of the environment" in done.stdout


def test_with_the_gpu_profile_runs_take_turns(make_checkout, tmp_path):
    found = probe(make_checkout(tmp_path), "--profile", "profiles/gpu", suite=None)
    assert found["limits"]["gpu"] == 1
    gpus = found["gpus"]
    del gpus["all"], gpus["stress"]
    assert gpus.pop("paper") == 1  # the first of them has a budget for GPUs
    working = {name: n for name, n in gpus.items() if name.startswith("run_")}
    assert set(working.values()) == {1}
    assert {n for name, n in found["threads"].items() if name in working} == {1}
    assert {n for name, n in gpus.items() if name not in working} == {0}


def test_memory_is_limited_by_the_machine_or_by_hand(small):
    found = probe(small)
    pages = os.sysconf("SC_PHYS_PAGES")
    assert found["limits"]["mem_mb"] == pages * os.sysconf("SC_PAGE_SIZE") // 10**6
    for given in ("mem_mb=5000", "mem=5GB"):
        assert probe(small, "--resources", given)["limits"]["mem_mb"] == 5000


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        (["--cores", "2"], 2),
        (["--cores", "16"], 4),
        (["--resources", "mem_mb=4000"], 1),
    ],
    ids=["cores", "methods", "memory"],
)
def test_a_job_has_as_many_runs_at_once_as_fit(options, threads, small):
    found = probe(small, *options)["threads"]
    assert {found[name] for name in RUNS} == {threads}
