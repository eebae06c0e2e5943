"""A tiny suite through the whole workflow."""

import re
import subprocess
import zipfile

import pytest
from factories.suites import CONTROL, describe, toy

from ebm_bench import records

TOY = toy(
    width=16,
    budget={"steps": 20, "batch_size": 32, "fit_samples": 500},
    sampler={"name": "langevin", "settings": {"steps": 10}},
    metrics={"hyvarinen_score": {}, "fisher_divergence": {}},
    curve_points=4,
)
ALONE = {"datasets": ["two_moons"]}
SUITE = describe(
    {
        "dsm-0.2": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        "nce": {"objective": "noise_contrastive", "settings": {"noise": "gaussian"}, **ALONE},
        "gaussian": {**CONTROL, **ALONE},
    },
    {"two_moons": TOY, "eight_gaussians": TOY},
    "tiny",
)
RUNS = [("two_moons", m) for m in SUITE["methods"]] + [("eight_gaussians", "dsm-0.2")]
LOG = "results/tiny/logs/run_two_moons_and_1_more.log"  # one job for both: neither needs data


@pytest.fixture(scope="module")
def finished(checkout):
    """The workflow after it was run."""
    checkout.write_suite(SUITE)
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout
    return checkout


def test_every_run_is_there(finished):
    results = finished.folder / "results/tiny"
    for dataset, method in RUNS:
        run = records.read(records.Run, results / "runs" / dataset / method / "run.json")
        assert [outcome.status for outcome in run.outcomes] == ["ok", "ok"]
        assert (results / "runs" / dataset / method / "pictures.npz").exists()
    assert (results / "leaderboard.html").stat().st_size > 1000
    assert (results / "records" / "values.parquet").exists()
    assert "dsm-0.2" in (results / "tables" / "overall.md").read_text()


def test_a_second_run_does_nothing(finished):
    assert "Nothing to be done" in finished.snakemake().stdout


def test_the_report_is_made_offline_and_carries_captions(finished):
    # Whoever asks for the network is sent to a port where nobody listens.
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
    finished.environment |= {**nowhere, "no_proxy": ""}
    done = finished.snakemake("--report", "report.zip")
    for name in (*nowhere, "no_proxy"):
        finished.environment.pop(name)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        files = archive.namelist()
        page = archive.read(next(f for f in files if f.endswith("report.html"))).decode()
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page)
    for file, caption in {
        "two_moons-densities.png": "Learned densities of one replicate",
        "two_moons-curves.pdf": "Learning curves against optimiser steps",
        "two_moons-cost.svg": "Pareto front",
        "two_moons.tex": "95 % interval",
        "two_moons-pairs.md": "corrected for all pairs",
        "overall.csv": "Ranks on every dataset",
        "macros.tex": "A LaTeX macro for every number",
        "leaderboard.html": "one page that needs no network",
    }.items():
        assert any(name.endswith(f"/{file}") for name in files), file
        entry = page[page.index(f'"name": "{file}"') :]
        told = re.search(r'"caption": "(.*?)", "mime_type"', entry)[1]
        assert caption in told, (file, told)


def edit(checkout, path):
    file = checkout.folder / "ebm_bench" / path
    file.write_text(file.read_text() + "\n# changed\n")


def stages(output, dataset):
    """What a run of the workflow trained and evaluated of a dataset, from output and log."""
    log = (output.folder / LOG).read_text()
    trained = set(re.findall(rf"{dataset} (\S+): fitting to data", log))
    return trained, set(re.findall(rf"{dataset} / (\S+): \w+ of ", log))


def test_editing_an_objective_repeats_its_runs_alone(finished):
    edit(finished, "objectives/noise_contrastive.py")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    assert stages(finished, "two_moons") == ({"nce"}, {"nce"})
    assert "two_moons dsm-0.2: done before" in done.stdout
    assert re.search(r"two_moons nce: done after .* \(1 of 1\)", done.stdout)
    assert "eight_gaussians dsm-0.2: done before" in done.stdout
    assert stages(finished, "eight_gaussians") == (set(), set())


def test_editing_a_metric_repeats_the_evaluations_alone(finished):
    edit(finished, "metrics/fisher_divergence.py")
    done = finished.snakemake("results/tiny/runs/two_moons/nce/evaluation.json")
    assert done.returncode == 0, done.stdout
    assert stages(finished, "two_moons") == (set(), {"dsm-0.2", "nce", "gaussian"})


def test_another_method_leaves_its_siblings(finished):
    weights = finished.folder / "results/tiny/runs/two_moons/dsm-0.2/weights.safetensors"
    before = weights.read_bytes()
    method = {**SUITE["methods"]["dsm-0.2"], "settings": {"sigma": 0.5}, "datasets": ["two_moons"]}
    finished.write_suite({**SUITE, "methods": {**SUITE["methods"], "dsm-0.5": method}})
    try:
        done = finished.snakemake("results/tiny/runs/two_moons/dsm-0.5/run.json")
    finally:
        finished.write_suite(SUITE)
    assert done.returncode == 0, done.stdout
    assert stages(finished, "two_moons") == ({"dsm-0.5"}, {"dsm-0.5"})
    assert weights.read_bytes() == before


FAILING = """
from dataclasses import dataclass
from pathlib import Path

from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class Failing(Objective):
    \"\"\"Fails until a file is there.\"\"\"

    def loss(self, energy, x, streams):
        assert Path("mended").exists(), "a bug"
        return energy(x).square().mean(1)
"""


def test_a_method_that_fails_costs_no_other_its_results(finished):
    (finished.folder / "failing.py").write_text(FAILING)
    methods = {**SUITE["methods"], "failing": {"objective": "failing", "datasets": ["two_moons"]}}
    finished.write_suite({**SUITE, "methods": methods, "plugins": ["failing.py"]})
    kept = finished.folder / "results/tiny/runs/two_moons"
    others = [kept / method / "evaluation.json" for method in SUITE["methods"]]
    before = [path.read_bytes() for path in others]
    try:
        failed = finished.snakemake()
        stood = [path.read_bytes() for path in others]
        shown = finished.command()[0].parent / "ebm-bench"
        partial = subprocess.run(
            [shown, "collect", "--suite", "suite.yaml", "--results", "results/tiny"],
            cwd=finished.folder, env=finished.environment, capture_output=True, text=True,
        )  # fmt: skip
        (finished.folder / "mended").write_text("")
        done = finished.snakemake()
    finally:
        finished.write_suite(SUITE)
    assert failed.returncode == 1
    assert "two_moons failing: failed (exit code 2)" in failed.stdout
    assert re.search(r"failing.py:\d+: .*loss\(\) raised AssertionError: a bug", failed.stdout)
    assert "ebm-bench: failed: two_moons failing" in failed.stdout
    assert stood == before
    assert partial.returncode == 0, partial.stderr
    assert done.returncode == 0, done.stdout
    assert stages(finished, "two_moons") == ({"failing"}, {"failing"})
    assert (kept / "failing/run.json").exists()


def test_a_preparation_that_fails_is_told_and_leaves_its_log(checkout):
    # What it says passes a pipe to the terminal, which must not hide its exit code.
    (checkout.folder / "occupied").write_text("")
    checkout.environment["EBM_BENCH_DATA"] = str(checkout.folder / "occupied")
    done = checkout.snakemake("results/quick/data/mnist.json", suite=None)
    del checkout.environment["EBM_BENCH_DATA"]
    assert done.returncode == 1
    said = "cannot prepare mnist in"
    assert said in done.stdout.partition("failed")[0]
    assert said in (checkout.folder / "results/quick/logs/prepare_mnist.log").read_text()
    assert "completed successfully" not in done.stdout
