"""Tuning stands apart from the benchmark, which uses its values."""

import pytest
import yaml
from factories.suites import describe, few, toy

TOY = toy(
    2,
    replicates=1,
    metrics={"negative_log_likelihood": {"points": 100}},
    rank_by="negative_log_likelihood",
)
SUITE = describe(
    {
        "dsm": {"objective": "denoising_score_matching"},
        "dsm-0.2": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        **few("nce", "gaussian"),
    },
    {"two_moons": TOY, "pinwheel": TOY},
    "tunable",
    tuning={
        "trials": 2,
        "steps": 2,
        "replicates": 1,
        "learning_rates": [0.001, 0.01],
        "datasets": {"two_moons": ["pinwheel"]},
    },
)


@pytest.fixture(scope="module")
def tuned(checkout):
    """The workflow after tuning, with the suite using its values."""
    checkout.write_suite(SUITE)
    assert checkout.planned("tune") == {"tune_two_moons", "tune"}
    assert not any(name.startswith("tune") for name in checkout.planned())
    done = checkout.snakemake("tune", "--cores", "1")
    assert done.returncode == 0, done.stdout
    checkout.write_suite({**SUITE, "tuned": "tuned/tunable.yaml"})
    return checkout


def test_a_second_run_finds_nothing_to_do(tuned):
    assert tuned.planned("tune") == set()


def test_the_values_of_every_method_are_in_the_file(tuned):
    told = yaml.safe_load((tuned.folder / "tuned/tunable.yaml").read_text())
    methods = told["datasets"]["two_moons"]["methods"]
    assert {name: one["trials"] for name, one in methods.items()} == {
        "dsm": 2, "dsm-0.2": 2, "nce": 2,
    }  # fmt: skip


def test_a_job_that_runs_again_repeats_no_trial_and_a_lost_file_comes_back(tuned):
    file = tuned.folder / "tuned/tunable.yaml"
    before, trials = file.read_text(), tuned.folder / "results/tunable/tuning"
    file.unlink()
    (trials / "two_moons/nce.json").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (trials / ".trials").iterdir()}
    tuned.write_suite(SUITE)
    done = tuned.snakemake("tune", "--cores", "1")
    tuned.write_suite({**SUITE, "tuned": "tuned/tunable.yaml"})
    assert done.returncode == 0, done.stdout
    assert file.read_text() == before
    assert {path: path.stat().st_mtime_ns for path in (trials / ".trials").iterdir()} == stamps


def test_a_suite_without_a_search_cannot_be_tuned(make_checkout, tmp_path):
    checkout = make_checkout(tmp_path)
    checkout.write_suite({key: value for key, value in SUITE.items() if key != "tuning"})
    done = checkout.snakemake("tune", "--cores", "1")
    assert done.returncode != 0
    assert "has no section 'tuning'" in done.stdout
