"""Parameter estimation through the workflow, with a tiny suite."""

import pytest
import yaml
from factories.estimation import describe

CNCE = {"objective": "conditional_noise_contrastive", "varies": "ratio"}
SUITE = describe({"cnce": CNCE}, 3)
FILE, RESULTS = "benchmarks/estimation.yaml", "results/tiny"


def write(checkout, content):
    (checkout.folder / FILE).write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def finished(checkout):
    write(checkout, SUITE)
    done = checkout.snakemake("estimation", suite=None)
    assert done.returncode == 0, done.stdout
    assert "checks of published claims are reproduced" in done.stdout
    return checkout


def planned(checkout):
    return checkout.planned("estimation", suite=None)


def test_leaves_figures_tables_and_claims(finished):
    for file in ("figures/error-size.png", "tables/variance-ratio.tex", "claims.md"):
        assert (finished.folder / RESULTS / file).stat().st_size > 300


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == set()


@pytest.mark.parametrize(
    ("path", "jobs"),
    [
        ("ebm_bench/objectives/conditional_noise_contrastive.py", {"estimate_line@cnce"}),
        ("ebm_bench/optim/bfgs.py", {"estimate_line@cnce", "estimate_line@mle"}),
        ("ebm_bench/studies/estimation/claims.py", set()),
        ("ebm_bench/objectives/noise_contrastive.py", None),
    ],
)
def test_only_what_a_file_decides_is_repeated(finished, path, jobs):
    file = finished.folder / path
    before = file.read_text()
    file.write_text(before + "\n# Changed.\n")
    try:
        assert planned(finished) == (set() if jobs is None else {*jobs, "estimation"})
    finally:
        file.write_text(before)


def test_another_method_leaves_the_others(finished):
    content = {
        **SUITE,
        "methods": {**SUITE["methods"], "sm": {"objective": "exact_score_matching"}},
    }
    write(finished, content)
    try:
        assert planned(finished) == {"estimate_line@sm", "estimation"}
    finally:
        write(finished, SUITE)


def test_a_bad_suite_is_told_in_one_message(finished):
    write(finished, {**SUITE, "modles": {}})
    try:
        done = finished.snakemake("--dry-run", "estimation", suite=None)
    finally:
        write(finished, SUITE)
    assert done.returncode == 2
    assert "benchmarks/estimation.yaml: modles: unknown key 'modles'" in done.stdout
    assert "Traceback" not in done.stdout
