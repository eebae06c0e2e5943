"""One obstacle does not end everything: odd paths, locales, and damaged files."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from factories.suites import make_suite

import ebm_bench
from ebm_bench.runs import processes, training

PACKAGE = Path(ebm_bench.__file__).parent
RULES = sorted((PACKAGE.parent / "workflow" / "rules").glob("*.smk"))


def test_texts_are_read_and_written_in_utf8_whatever_the_locale():
    missing = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).split(".")[-1]
                given = {keyword.arg for keyword in node.keywords}
                texts = name in ("read_text", "write_text") or "text" in given
                if texts and "encoding" not in given:
                    missing.append(f"{path.name}:{node.lineno}")
    assert not missing


def test_paths_in_shell_lines_are_quoted():
    for path in RULES:
        lines = path.read_text(encoding="utf-8")
        for shell in re.findall(r"shell:\n((?: +\".*\"\n?)+)", lines):
            unquoted = set(re.findall(r"\{([^}]*)\}", shell)) - {"threads"}
            assert all(name.endswith(":q") for name in unquoted), path


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_replaced(content, tmp_path, caplog):
    folder = tmp_path / "eight_gaussians" / "dsm"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(content)
    training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    assert "damaged" in caplog.text
    assert (folder / "run.json").exists()
    assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("error", [OSError(30, "Read-only"), KeyError("uid"), ImportError("")])
def test_a_compiler_that_fails_leaves_eager_steps(error, monkeypatch, caplog):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(torch, "compile", fail)
    suite = make_suite(compute="compiled")
    _, run = training.train_method(suite, "eight_gaussians", "dsm")
    assert "not compiled" in caplog.text
    assert [outcome.status for outcome in run.outcomes] == ["ok", "ok"]


CODE = """
import operator
from functools import partial
from ebm_bench.runs import processes
if __name__ == "__main__":
    jobs = {name: partial(operator.add, 1, 2) for name in "ab"}
    print(*[ended.exit_code for ended in processes.run_all(jobs, 2)])
"""


@pytest.mark.parametrize("name", ["t" * 100, "a 'b\"c$(x)&#ü"])
def test_processes_start_whatever_the_temporary_folder(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / "main.py").write_text(CODE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py"],
        env={**os.environ, "TMPDIR": str(tmp_path / name), "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.stdout.split() == ["0", "0"], done.stderr


def test_without_sockets_processes_are_new_ones(monkeypatch):
    monkeypatch.setattr(processes, "_has_sockets", lambda: False)
    assert processes._context().get_start_method() == "spawn"
