"""The command line of `python -m benchmarks.speed`."""

import os

import pytest
from factories.speed import tiny
from typer.testing import CliRunner

from benchmarks.speed import __main__ as command
from benchmarks.speed import rows
from benchmarks.speed.contest import Contender
from ebm_bench.cli.options import THREAD_VARIABLES


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command on tiny rows, in a folder of its own."""
    given = [tiny("first"), tiny("second")]
    monkeypatch.setattr(rows, "rows", lambda: given)
    for name in (*THREAD_VARIABLES, "KINETO_LOG_LEVEL", "TORCH_CPP_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(command.app, list(arguments))

    run.rows = given
    return run


def test_it_measures_all_rows_and_prints_the_path_of_the_table(run, tmp_path):
    result = run("--repeats", "1")
    assert result.exit_code == 0, result.output
    assert "0 of 2 targets are met" in result.output
    assert "results/speed/table.md" in result.output
    assert (tmp_path / "results/speed/record.json").exists()


def test_an_unknown_row_exits_with_2_and_lists_the_names(run, tmp_path):
    result = run("--only", "frist")
    assert result.exit_code == 2
    assert "unknown row 'frist'" in result.stderr
    assert "Valid: first, second" in result.stderr
    assert not list(tmp_path.iterdir())


def test_list_names_the_rows_and_measures_nothing(run, tmp_path):
    result = run("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == ["first", "second"]
    assert not list(tmp_path.iterdir())


def test_rounds_are_at_least_one(run):
    assert run("--repeats", "0").exit_code == 2


def test_a_disagreement_exits_with_1(run):
    def build(dtype, batch):
        right = tiny().contenders["published"](dtype, batch)
        return Contender(right.step, lambda: [-value for value in right.values()])

    run.rows[0].contenders["published"] = build
    result = run("--repeats", "1")
    assert result.exit_code == 1
    assert "first, published: not timed: differs from ours by 2.0e+00" in result.output


def test_an_unwritable_folder_exits_with_2(run):
    result = run("--repeats", "1", "--out", "/proc/ebm-bench")  # not even root can write there
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
