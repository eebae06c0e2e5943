"""The stress tests through the workflow, with a tiny panel."""

import pandas as pd
import pytest
import yaml
from factories.suites import toy_panel

STRESS = {
    "kind": "stress",
    "name": "stress",
    "version": 1,
    "title": "Tiny",
    "panels": {name: toy_panel() for name in ("one", "two")},
}
FILE, RESULTS = "benchmarks/stress.yaml", "results/stress"
FILES = [
    *("figures/stress.png", "figures/stress.pdf"),
    *(f"tables/stress.{ending}" for ending in ("md", "tex", "csv")),
]


def write(checkout, content):
    (checkout.folder / FILE).write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def finished(checkout):
    write(checkout, STRESS)
    done = checkout.snakemake("stress", suite=None)
    assert done.returncode == 0, done.stdout
    return checkout


def planned(checkout):
    return checkout.planned("stress", suite=None)


def test_leaves_the_figure_and_the_tables(finished):
    for file in FILES:
        assert (finished.folder / RESULTS / file).stat().st_size > 300
    table = pd.read_csv(finished.folder / RESULTS / "tables/stress.csv")
    assert table.groupby(["panel", "knob"]).size().to_dict() == {
        (panel, knob): 1 for panel in ("one", "two") for knob in (0.1, 1.0)
    }
    assert set(table["n"]) == {2}
    assert not (finished.folder / "results/quick/runs").exists()


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == set()


@pytest.mark.parametrize(
    ("path", "jobs"),
    [
        ("ebm_bench/objectives/denoising_score_matching.py",
         {"stress_panel", "stress_report", "stress"}),
        ("ebm_bench/studies/stress/report.py", {"stress_report", "stress"}),
        ("ebm_bench/cli/stages.py", set()),
    ],
)  # fmt: skip
def test_editing_code_runs_what_depends_on_it(path, jobs, finished):
    file = finished.folder / path
    before = file.read_bytes()
    file.write_bytes(before + b"\n# changed\n")
    try:
        assert planned(finished) == jobs
    finally:
        file.write_bytes(before)


def test_another_panel_runs_it_alone(finished):
    panels = {**STRESS["panels"], "three": STRESS["panels"]["one"]}
    write(finished, {**STRESS, "panels": panels})
    try:
        done = finished.snakemake("--dry-run", "stress", suite=None)
    finally:
        write(finished, STRESS)
    assert done.stdout.count("stress test ") == 1
    assert "stress test three" in done.stdout


def test_another_title_draws_again_and_runs_nothing(finished):
    write(finished, {**STRESS, "title": "Another"})
    try:
        assert planned(finished) == {"stress_report", "stress"}
    finally:
        write(finished, STRESS)


def test_a_bad_file_ends_with_2_and_one_message(finished):
    write(finished, {**STRESS, "pannels": {}})
    try:
        done = finished.snakemake("--dry-run", "stress", suite=None)
    finally:
        write(finished, STRESS)
    assert done.returncode == 2
    assert "benchmarks/stress.yaml: pannels: unknown key 'pannels'" in done.stdout
    assert "Traceback" not in done.stdout
