"""The tutorial does what it says: its files, commands and code, beside a small reference."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from factories.suites import describe, few, toy

from ebm_bench.records import collection
from ebm_bench.runs import evaluation, training
from ebm_bench.suites import suite

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
DATASET = toy(
    width=16,
    budget={"steps": 20, "batch_size": 32, "fit_samples": 500, "learning_rate": 0.01},
    sampler={"name": "langevin", "settings": {"steps": 10}},
    metrics={"kl_divergence": {}},
    rank_by="kl_divergence",
    curve="kl_divergence",
)
# In place of the suite that the tutorial names, with fewer steps and methods.
TOY = describe(
    {"dsm": {"objective": "denoising_score_matching"}, **few("gaussian")},
    {"eight_gaussians": DATASET, "two_moons": DATASET},
    "toy",
)


def make_reference(path, folder):
    """Run the small suite, and leave nothing but its records, as a reference does."""
    chosen = suite.load(path)
    runs = [folder / "runs" / d / m for d in chosen.datasets for m in chosen.methods]
    for dataset in chosen.datasets:
        training.train(chosen, dataset, list(chosen.methods), folder / "runs")
    for run in runs:
        evaluation.evaluate(chosen, run.parent.name, run.name, run, "cpu")
    collection.collect(runs).write(folder.parent / "results/reference/toy/records")


@pytest.fixture(scope="module")
def place(checkout, tmp_path_factory):
    """A copy of the repository in which the tutorial was followed, with what was printed."""
    path = checkout.folder / "benchmarks/toy.yaml"
    path.write_text(yaml.safe_dump(TOY))
    make_reference(path, checkout.folder / "elsewhere")
    programs = Path(sys.executable).parent
    checkout.environment["PATH"] = f"{programs}:{checkout.environment['PATH']}"
    printed = {}
    for kind, title, text in BLOCK.findall(TUTORIAL.read_text()):
        if title:
            (checkout.folder / title).write_text(text)
        elif kind in ("bash", "python"):
            command = ["bash", "-ec", text] if kind == "bash" else [sys.executable, "-c", text]
            done = subprocess.run(
                command, cwd=checkout.folder, env=checkout.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}"
            printed[text] = done.stdout
    checkout.printed = printed
    return checkout


def said(place, start):
    """What the block of the tutorial printed that begins with some words."""
    (found,) = (out for text, out in place.printed.items() if text.startswith(start))
    return found


def test_the_skeleton_and_the_checks_are_as_told(place):
    assert "my_discrepancy.py: objective my_discrepancy" in said(place, "ebm-bench new")
    shown = said(place, "ebm-bench check my_")
    assert "8 of 8 checks hold" in shown
    for line in shown.splitlines():
        if line.startswith("  holds"):
            assert line in TUTORIAL.read_text()


def test_the_method_stands_beside_the_reference(place):
    shown = said(place, "ebm-bench run")
    for dataset in TOY["datasets"]:
        assert re.search(rf"{dataset}: my_discrepancy has rank [12].* of 2 by KL", shown)
    results = place.folder / "results/my_discrepancy/toy"
    table = (results / "tables/two_moons.md").read_text()
    assert "my_discrepancy" in table
    assert "dsm" in table
    assert (results / "leaderboard.html").exists()
    assert {p.name for p in (results / "runs/two_moons").iterdir()} == {"my_discrepancy"}


def test_the_suite_with_the_plugin_has_a_leaderboard(place):
    shown = said(place, "ebm-bench check mine.yaml")
    assert "4 runs" in shown
    assert "ed-0.3" in shown.partition("Average rank")[2]


def test_editing_the_plugin_runs_its_dataset_alone(place):
    assert place.planned(suite="mine.yaml") == set()
    path = place.folder / "my_discrepancy.py"
    path.write_text(path.read_text() + "\n# changed\n")
    assert place.planned(suite="mine.yaml") == {
        "run_two_moons",
        *("collect", "report", "all"),
    }


def test_a_broken_plugin_ends_the_workflow_with_2_and_its_line(place):
    path = place.folder / "my_discrepancy.py"
    before = path.read_text()
    path.write_text(before.replace("sigma: Annotated", "sigma = Annotated["))
    try:
        done = place.snakemake("--dry-run", suite="mine.yaml")
    finally:
        path.write_text(before)
    assert done.returncode == 2
    assert re.search(r"mine\.yaml: plugins: .*my_discrepancy\.py:\d+: not valid", done.stdout)
    assert "Traceback" not in done.stdout
