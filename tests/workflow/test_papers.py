"""Papers through the workflow: what is planned."""

import pytest

FILE = "benchmarks/papers/ryu2025.yaml"
ONE = "results/papers/ryu2025/values.parquet"


@pytest.fixture
def edited(checkout):
    """The checkout, whose files are as they were after the test."""
    path = checkout.folder / FILE
    before = path.read_text(encoding="utf-8")
    yield checkout, path
    path.write_text(before, encoding="utf-8")


def test_a_job_for_each_paper_and_one_for_the_claims(checkout):
    done = checkout.snakemake("--dry-run", "papers", suite=None)
    assert done.returncode == 0, done.stdout
    for file in checkout.folder.glob("benchmarks/papers/*.yaml"):
        on_gpu = file.stem.endswith("-gpu")
        assert (f"run what {file.stem} compares" in done.stdout) is not on_gpu
    assert "decide the claims of papers" in done.stdout


def test_another_paper_is_run_where_one_is_broken(edited):
    checkout, path = edited
    path.write_text("kind: [")
    assert checkout.planned("results/papers/gao2020/values.parquet", suite=None) == {"paper"}


@pytest.mark.parametrize("asked", ["papers", ONE])
def test_a_bad_claim_ends_with_2_and_one_message(asked, edited):
    checkout, path = edited
    path.write_text(path.read_text(encoding="utf-8").replace("above: 10", "abvoe: 10"))
    done = checkout.snakemake("--dry-run", asked, suite=None)
    assert done.returncode == 2
    assert "ryu2025.yaml: claims.1.abvoe: unknown key 'abvoe'" in done.stdout
    assert "Traceback" not in done.stdout


def test_with_gpus_the_published_budgets_are_run(checkout):
    done = checkout.snakemake("--dry-run", "papers", "--profile", "profiles/gpu", suite=None)
    assert done.returncode == 0, done.stdout
    assert "run what song2019-gpu compares" in done.stdout
    assert "run what song2019 compares" not in done.stdout
    assert "run what ryu2025 compares" in done.stdout  # has no other budget


def test_a_budget_for_gpus_alone_is_refused(checkout):
    path = checkout.folder / "benchmarks/papers/lonely-gpu.yaml"
    path.write_text(f"extends: {FILE.rpartition('/')[2]}\nname: lonely-gpu\n")
    try:
        done = checkout.snakemake("--dry-run", "papers", suite=None)
        another = checkout.planned(ONE, suite=None)
    finally:
        path.unlink()
    assert done.returncode == 2
    assert "lonely-gpu.yaml: is for GPUs what lonely.yaml is for CPUs" in done.stdout
    assert "Traceback" not in done.stdout
    assert another == {"paper"}
