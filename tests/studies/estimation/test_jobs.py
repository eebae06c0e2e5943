"""Jobs of parameter estimation, end to end through the command line."""

import shutil
from contextlib import contextmanager

import pandas as pd
import pytest
import yaml
from factories.commands import run
from factories.estimation import describe

from ebm_bench import records
from ebm_bench.report.files import estimation_outputs
from ebm_bench.studies.estimation import asymptotics, jobs
from ebm_bench.utils import leases

NCE = {"objective": "noise_contrastive", "settings": {"noise": "gaussian"}, "varies": "ratio"}
SUITE = describe({"nce": NCE}, 5)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Compute theory from few points."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FOR_HESSIAN", "_FOR_SLOPES", "_FIT"):
            patch.setattr(asymptotics, name, 3000)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimation")
    suite = folder / "tiny.yaml"
    suite.write_text(yaml.safe_dump(SUITE))
    result = run("estimate", "--suite", suite, "--model", "line", "--out", folder / "runs")
    assert result.exit_code == 0, result.output
    return folder, suite


def test_every_data_set_is_in_the_table(finished):
    folder, _ = finished
    table = pd.read_parquet(folder / "runs/line/nce/estimates.parquet")
    assert len(table) == 4 * 5
    assert set(zip(table["size"], table["ratio"], strict=True)) == {
        (30, 1), (30, 2), (30, 3), (60, 2)
    }  # fmt: skip
    converged = table["status"] == "converged"
    assert converged.any()
    assert ((table["error"] < float("inf")) == converged).all()
    assert (table.loc[converged, "gradient"] <= 1e-5).all()
    assert all(len(values) == 1 for values in table["estimate"])


def test_the_record_says_what_theory_expects(finished):
    folder, _ = finished
    record = records.read(records.Estimation, folder / "runs/line/mle/record.json")
    assert [(row.size, row.ratio) for row in record.theory] == [(30, 2), (60, 2)]
    assert record.theory[0].variance == pytest.approx(2, rel=0.2)
    assert record.theory[0].median == pytest.approx(2 * record.theory[1].median)
    assert record.provenance.torch


@pytest.mark.parametrize(("lost", "content"), [("estimates.parquet", None), ("record.json", "{")])
def test_what_is_done_is_not_done_again(lost, content, finished):
    folder, suite = finished
    paths = [folder / "runs/line" / m / "record.json" for m in ("mle", "nce")]
    before = [path.read_bytes() for path in paths]
    (folder / "runs/line/nce" / lost).unlink()
    if content:
        (folder / "runs/line/nce" / lost).write_text(content)
    result = run("estimate", "--suite", suite, "--model", "line", "--out", folder / "runs")
    assert result.exit_code == 0
    assert (folder / "runs/line/nce/estimates.parquet").exists()
    after = [path.read_bytes() for path in paths]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_another_process_did_meanwhile_is_not_repeated(finished, tmp_path, monkeypatch):
    folder, suite = finished
    out, held = tmp_path / "runs", []

    @contextmanager
    def waited(path, label):
        held.append((path, label))
        shutil.copytree(folder / "runs/line/mle", out / "line/mle")
        yield

    monkeypatch.setattr(leases, "hold", waited)
    monkeypatch.delattr(jobs, "_run")
    result = run("estimate", "--suite", suite, "--model", "line", "--method", "mle", "--out", out)
    assert result.exit_code == 0, result.output
    assert held == [(out / "line/mle/.lease", "line mle")]


def test_other_settings_are_done_again(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**SUITE, "seed": 1}))
    told = run("compare", "--suite", other, "--results", folder)
    assert told.exit_code == 2
    assert "record.json: of other settings than mle on line has now" in told.stderr
    path = folder / "runs/line/mle/record.json"
    before = path.read_bytes()
    arguments = ("--model", "line", "--method", "mle", "--out", folder / "runs")
    assert run("estimate", "--suite", other, *arguments).exit_code == 0
    assert path.read_bytes() != before


def test_comparison(finished):
    folder, suite = finished
    result = run("compare", "--suite", suite, "--results", folder)
    assert result.exit_code == 0, result.output
    assert "checks of published claims are reproduced" in result.output
    for files in estimation_outputs(folder).values():
        for path in files:
            assert path.stat().st_size > 100
    assert "nce" in (folder / "tables/variance-ratio.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["estimate", "--model", "lime", "--out", "O"], "Did you mean 'line'?"),
        (["estimate", "--model", "line", "--method", "nca", "--out", "O"], "Did you mean 'nce'?"),
        (["compare", "--results", "O"], "`ebm-bench estimate` for each of its models"),
    ],
)
def test_bad_input_is_told_in_one_message(arguments, said, finished, tmp_path):
    _, suite = finished
    command, *rest = arguments
    rest = [tmp_path / "out" if a == "O" else a for a in rest]
    result = run(command, "--suite", suite, *rest)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_comparison_refuses_records_of_other_sizes(finished, tmp_path):
    folder, _ = finished
    for change in ({"sizes": [30, 60, 90]}, {"data_sets": 6}):
        other = tmp_path / "other.yaml"
        other.write_text(yaml.safe_dump({**SUITE, **change}))
        result = run("compare", "--suite", other, "--results", folder)
        assert result.exit_code == 2
        assert "other sizes, ratios or data sets" in result.stderr


def test_a_damaged_table_is_told(finished, tmp_path):
    folder, suite = finished
    shutil.copytree(folder, tmp_path / "copy")
    table = tmp_path / "copy/runs/line/nce/estimates.parquet"
    for damage, said in (
        (lambda: table.write_bytes(b"x"), "cannot be read"),
        (table.unlink, "does not exist"),
    ):
        damage()
        result = run("compare", "--suite", suite, "--results", tmp_path / "copy")
        assert result.exit_code == 2
        assert f"{table}: {said}" in result.stderr


def test_a_comparison_refuses_records_of_another_version(finished, tmp_path):
    folder, _ = finished
    newer = tmp_path / "newer.yaml"
    newer.write_text(yaml.safe_dump({**SUITE, "version": 2}))
    result = run("compare", "--suite", newer, "--results", folder)
    assert result.exit_code == 2
    assert "version 1; this is tiny, version 2" in result.stderr
