"""Which jobs run when what changed, on outputs that are made up."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from factories.checkouts import END, RUNS, SUITE, probe
from factories.suites import changed
from filelock import FileLock

from ebm_bench import report
from ebm_bench.suites.suite import Suite


def outputs(suite):
    folder = Path("results", suite.name)
    for dataset in suite.datasets:
        for method in suite.methods_of(dataset):
            for file in ("run.json", "weights.safetensors", "evaluation.json", "pictures.npz"):
                yield folder / "runs" / dataset / method / file
    yield from (folder / "data" / f"{name}.json" for name in ("mnist", "cifar10"))
    yield from (folder / "records" / f"{t}.{e}" for t in ("runs", "values", "curves")
                for e in ("parquet", "csv"))  # fmt: skip
    yield folder / "records" / "suite.yaml"
    for files in report.outputs(suite, folder).values():
        yield from files


@pytest.fixture(scope="module")
def finished(checkout):
    """The workflow after a run."""
    checkout.write_suite(SUITE)
    for path in outputs(Suite.model_validate(SUITE)):
        (checkout.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / path).write_text(str(path))
    done = checkout.snakemake("--touch", "--forceall")
    assert done.returncode == 0, done.stdout
    assert checkout.planned() == set()
    return checkout


@pytest.fixture
def edited(finished):
    """Change files of the finished workflow for one test."""
    before = {}

    def edit(path, change):
        before[path] = (finished.folder / path).read_bytes()
        (finished.folder / path).write_text(change((finished.folder / path).read_text()))
        return finished

    yield edit
    for path, content in before.items():
        (finished.folder / path).write_bytes(content)


with_change = partial(changed, SUITE)


def test_a_clean_copy_has_everything_to_do(make_checkout, tmp_path):
    planned = make_checkout(tmp_path).planned(suite=None)
    # Those that wait for the same data are one job, and none waits for data that it does not need.
    together = {"run_eight_gaussians_and_1_more", "run_mnist_and_1_more"}
    assert planned == {"prepare", *together, *END}


@pytest.mark.parametrize("name", ["mnist", "cifar10-gpu"])
def test_a_suite_of_images_waits_for_what_any_of_its_datasets_needs(name, finished):
    """Of which the first is compared with no other images."""
    done = finished.snakemake("--dry-run", suite=f"benchmarks/{name}.yaml")
    assert done.returncode == 0, done.stdout
    stamps = set(re.findall(r"Job \d+: prepare (\w+)", done.stdout))
    assert stamps == {"mnist", "cifar10", "fashion_mnist"}


def test_from_another_folder_its_own_files_are_found(make_checkout, tmp_path):
    checkout = make_checkout(tmp_path / "checkout")
    checkout.write_suite(SUITE)
    there = tmp_path / "another folder"
    there.mkdir()
    (there / "suite.yaml").write_text((checkout.folder / "suite.yaml").read_text())
    done = subprocess.run(
        checkout.command("--dry-run", "--snakefile", str(checkout.folder / "Snakefile")),
        cwd=there, env=checkout.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "run_mnist" in done.stdout
    assert not list(there.rglob("*.log"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("objectives/noise_contrastive.py", RUNS | END),
        ("noise/gaussian.py", RUNS | END),
        ("samplers/langevin.py", RUNS | END),
        ("derivatives/for_samplers.py", RUNS | END),
        ("metrics/grid.py", RUNS | END),
        ("optim/adam.py", RUNS | END),
        ("metrics/denoising_error.py", RUNS | END),
        ("runs/evaluation.py", RUNS | END),
        ("objectives/exact_score_matching.py", set()),
        ("energies/ica.py", set()),
        ("records/collection.py", END),
        ("report/tables/tables.py", {"report", "all"}),
        ("report/page/templates/page.css", {"report", "all"}),
        ("cli/stages.py", set()),
        ("plugins/ranking.py", set()),
        ("runs/tuning.py", set()),
        ("runs/processes.py", set()),
    ],
)
def test_editing_code_plans_what_depends_on_it(path, expected, edited):
    assert edited(f"ebm_bench/{path}", lambda text: text + "\n").planned() == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_change("methods", "dsm-0.1", "settings", "sigma", to=0.3), RUNS | END),
        (with_change("datasets", "mnist", "budget", "steps", to=11), {"run_mnist"} | END),
        (
            with_change("datasets", "two_moons", "metrics", "fisher_divergence", to={}),
            {"run_two_moons"} | END,
        ),
        (with_change("title", to="Another title"), END),
        (with_change("methods", "cd", "control", to=True), END),
        (
            with_change("methods", "exact", to={"objective": "exact_score_matching",
                                                "datasets": ["two_moons"]}),
            {"run_two_moons"} | END,
        ),
    ],
    ids=["setting", "budget", "metric", "title", "control", "method"],
)  # fmt: skip
def test_a_changed_key_runs_what_depends_on_it(content, expected, finished):
    finished.write_suite(content)
    try:
        assert finished.planned() == expected
    finally:
        finished.write_suite(SUITE)


def test_a_change_of_a_file_that_the_suite_extends_is_one_of_the_suite(finished):
    finished.write_suite({**SUITE, "title": "Another title"}, "below.yaml")
    finished.write_suite({"extends": "below.yaml"})
    os.utime(finished.folder / "suite.yaml", (0, 0))
    try:
        assert finished.planned("--rerun-triggers", "mtime") == {"report", "all"}
    finally:
        finished.write_suite(SUITE)


def test_a_tuned_value_runs_the_dataset_it_is_for(finished):
    best = {"learning_rate": 0.01, "settings": {"ratio": 2.0}, "score": 1.0}
    outcome = {"criterion": "hyvarinen_score", "methods": {"nce": {"trials": 1, "failed": 0}}}
    outcome["methods"]["nce"]["best"] = best
    told = {"suite": "small", "suite_version": 1, "date": "", "version": [], "commit": [],
            "seed": 1, "trials": 1, "steps": 1, "replicates": 1, "learning_rates": [0.01],
            "datasets": {"two_moons": outcome}}  # fmt: skip
    (finished.folder / "tuned.json").write_text(json.dumps(told))
    finished.write_suite({**SUITE, "tuned": "tuned.json"})
    try:
        assert finished.planned() == {"run_two_moons"} | END
    finally:
        finished.write_suite(SUITE)


ALL = ("run.json", "weights.safetensors", "evaluation.json", "pictures.npz")


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        # As a failed repetition leaves it: the files of the other methods are there.
        ([("mnist/nce", "run.json")], {"run_mnist"}),
        ([("mnist/nce", file) for file in ALL], {"run_mnist"}),
        ([("two_moons/cd", "weights.safetensors"), ("mnist/cd", "pictures.npz")], RUNS),
    ],
)
def test_a_run_that_is_lost_is_trained_again(lost, expected, finished):
    paths = [finished.folder / "results/small/runs" / run / file for run, file in lost]
    contents = [path.read_text() for path in paths]
    for path in paths:
        path.unlink()
    try:
        assert finished.planned() == expected | END
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content)


def test_of_a_suite_of_many_runs_snakemake_keeps_little(finished):
    """It keeps the parameters of a job, and the names of its inputs, with each output."""
    kept = {path: path.stat().st_size for path in finished.folder.rglob(".snakemake/metadata/*")}
    assert len(kept) > len(list(outputs(Suite.model_validate(SUITE)))) / 2
    assert max(kept.values()) < 40_000
    found = probe(finished)["outputs"]
    assert {name: number for name, number in found.items() if name in RUNS} == dict.fromkeys(
        RUNS, len(SUITE["methods"])
    )


def test_a_file_of_a_run_is_asked_for_by_name(finished):
    suite = with_change("methods", "exact", to={"objective": "exact_score_matching"})
    finished.write_suite(suite)
    try:
        for file in ALL:
            path = f"results/small/runs/two_moons/exact/{file}"
            assert finished.planned(path) == {"run_two_moons"}
    finally:
        finished.write_suite(SUITE)


def test_the_place_from_which_a_suite_is_named_does_not_matter(finished):
    assert finished.planned(suite=finished.folder / "suite.yaml") == set()


def test_two_processes_do_not_work_on_one_suite(edited):
    checkout = edited("suite.yaml", lambda text: text + "title: Another\n")
    with FileLock(checkout.folder / "results/small/.lock"):
        done = checkout.snakemake()
    assert done.returncode == 2
    assert "another process works on results/small" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: small\nverson: 1\n", "Did you mean 'version'?"),
        ("name: [\n", "not valid YAML"),
    ],
)
def test_a_bad_suite_ends_with_2_and_one_message(text, said, edited):
    done = edited("suite.yaml", lambda _: text).snakemake("--dry-run")
    assert done.returncode == 2
    assert "suite.yaml: " in done.stdout
    assert said in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("kind: [", "stress"),
        ("kind: leaderboard", "results/stress/tables/stress.md"),
        ("name: 1", "results/stress/panels/noise/values.parquet"),
        ("name: 1", "estimation"),
        ("kind: leaderboard", "results/estimation/claims.md"),
        ("kind: [", "results/estimation/runs/ring/nce/record.json"),
    ],
)
def test_a_broken_study_stops_those_alone_who_ask_for_it(text, asked, edited):
    study = "stress" if "stress" in asked else "estimation"
    checkout = edited(f"benchmarks/{study}.yaml", lambda _: text)
    assert checkout.planned() == set()
    done = checkout.snakemake("--dry-run", asked)
    assert done.returncode == 2
    assert f"benchmarks/{study}.yaml: " in done.stdout
    assert "Traceback" not in done.stdout


def test_a_bad_configuration_key_ends_with_2(finished):
    done = finished.snakemake("--dry-run", siute="other.yaml")
    assert done.returncode == 2
    assert "unknown configuration key 'siute'. Did you mean 'suite'?" in done.stdout


@pytest.mark.parametrize("minutes", ["0", "soon", "true"])
def test_a_length_of_jobs_that_is_none_ends_with_2(minutes, finished):
    done = finished.snakemake("--dry-run", minutes_per_job=minutes)
    assert done.returncode == 2
    assert "minutes_per_job: " in done.stdout
    assert "is not a positive number" in done.stdout


def test_what_needs_the_internet_or_no_machine_runs_where_snakemake_does(finished):
    local = [
        *("all", "collect", "estimation", "papers", "prepare", "report", "speed"),
        *("stress", "stress_report", "tune"),
    ]
    assert sorted(probe(finished)["local"]) == local


def test_lint_finds_nothing(finished):
    done = finished.snakemake("--lint")
    assert done.returncode == 0, done.stdout


def test_the_workflow_is_formatted():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
