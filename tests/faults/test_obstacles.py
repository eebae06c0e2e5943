"""One obstacle does not end everything: odd paths, locales, and damaged files."""

import ast
import errno
import os
import re
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
import typer
from factories.records import make_run
from factories.suites import make_suite
from typer.testing import CliRunner

import ebm_bench
from ebm_bench import cli, records, registry
from ebm_bench.cli import options
from ebm_bench.errors import InputError
from ebm_bench.report.results import Results
from ebm_bench.runs import processes, training
from ebm_bench.suites import suite
from ebm_bench.utils import files

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
            ours = re.sub(r"\{\{.*?\}\}", "", shell)  # without braces of the shell
            unquoted = set(re.findall(r"\{([^}]*)\}", ours)) - {"threads"}
            assert all(name.endswith(":q") for name in unquoted), path


NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"


def test_rules_and_their_logs_have_different_names_whatever_parts_are_called():
    """Two models a and a_b, and two methods b_c and c, make four rules."""
    found = set()
    for path in RULES:
        text = path.read_text(encoding="utf-8")
        names = re.findall(r'^ +(name|log|benchmark):\n(?: +#.*\n)* +f?"(.*?)"', text, re.M)
        names += [("name", name) for name in re.findall(r"^ *rule (\w+):", text, re.M)]
        found |= {(kind, re.sub(r"\{+([a-z_]+)\}+", r"<\1>", name)) for kind, name in names}
    assert len(found) > 20
    for kind, name in found:
        assert not re.search(r">[A-Za-z0-9._-]*<", name), f"{kind} {name}: joins two names"
        pattern = re.sub("<[^>]*>", NAME, re.sub("[{}]", ".", name))
        same = {other for k, other in found if k == kind and re.fullmatch(pattern, other)}
        assert same <= {name}, (kind, name, same)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_replaced(content, tmp_path, caplog):
    folder = tmp_path / "eight_gaussians" / "dsm"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(content)
    training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    assert "damaged" in caplog.text
    assert (folder / "run.json").exists()
    assert not (folder / "checkpoint.pt").exists()


def test_a_pipe_in_place_of_a_checkpoint_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "eight_gaussians" / "dsm" / "checkpoint.pt"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    # Reading would never end.
    monkeypatch.setattr(torch, "load", lambda *given, **options: pytest.fail("is read"))
    training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    assert not path.exists()


def test_a_pipe_in_place_of_a_plugin_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "own.py")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("is read"))
    with pytest.raises(InputError, match=r"own\.py: is a pipe or a device, not a file"):
        registry.load(tmp_path / "own.py")


@pytest.mark.parametrize("error", [OSError(30, "Read-only"), KeyError("uid"), ImportError("")])
def test_a_compiler_that_fails_leaves_eager_steps(error, monkeypatch, caplog):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(torch, "compile", fail)
    _, run = training.train_method(make_suite(compute="compiled"), "eight_gaussians", "dsm")
    assert "not compiled" in caplog.text
    assert [outcome.status for outcome in run.outcomes] == ["ok", "ok"]


def test_what_was_there_stays_if_the_new_cannot_be_written(tmp_path, monkeypatch):
    training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(state):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save", fail)
    with pytest.raises(InputError, match=r"weights.safetensors: cannot be written \(No space"):
        training.train(make_suite(steps=13), "eight_gaussians", ["dsm"], tmp_path)
    assert before.items() <= {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}.items()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):  # also of what does not exist
        raise OSError(errno.EROFS, "Read-only file system")

    for change in ("unlink", "open", "utime"):
        monkeypatch.setattr(os, change, refuse)
    with (
        pytest.raises(InputError, match=r"file: cannot be written \(Read-only"),
        files.replacing(tmp_path / "file") as temporary,
    ):
        temporary.touch()


def test_what_killed_processes_left_half_written_is_removed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = socket.gethostname()
    names = [
        f".a[b].json.{host}.{ended.pid}.tmp",
        f".a[b].json.{host}.{os.getppid()}.tmp",
        f".a[b].json.{host}.x.tmp",
        # Of another machine, whose processes are not known here.
        f".a[b].json.x{host}.{ended.pid}.tmp",
        f".a[b].json.{host}.x.{ended.pid}.tmp",
        f".a[b].json.{ended.pid}.tmp",
        f".b.json.{host}.{ended.pid}.tmp",
    ]
    for name in names:
        (tmp_path / name).touch()
    with files.replacing(tmp_path / "a[b].json") as temporary:
        temporary.touch()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a[b].json", *names[1:]}


def test_a_name_that_can_be_a_file_can_be_written(tmp_path, monkeypatch):
    """As of plugins and suites, which are copied beside records after all training."""
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    path = tmp_path / ("ü" * 126 + ".py")
    with files.replacing(path) as temporary:
        temporary.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_is_there_is_not_written_again(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("", encoding="utf-8")
    files.link(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(files, "replacing", lambda path: pytest.fail("is written"))
    files.link(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("path", ["results", "results/tiny", "results/tiny/deeper"])
def test_a_file_in_place_of_a_folder_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.require_folder(Path(path))
    Path("nowhere").symlink_to("none")
    files.require_folder(Path("nowhere", path))
    Path("results").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="results: is a file, where there should be a folder"):
        files.require_folder(Path(path))


def test_paths_in_another_encoding_are_refused_before_any_work(tmp_path):
    """As of an old Latin-1 disk: what is trained there could be neither loaded nor collected."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/s\xfcite"))
    with pytest.raises(InputError, match=r"s\ufffdite.*: its letters are not in UTF-8; rename"):
        files.require_folder(path / "runs")
    with pytest.raises(InputError, match=r"s\ufffdite.*: its letters are not in UTF-8; rename"):
        suite.load(path)
    files.require_folder(tmp_path / "süite \ufffd")


@pytest.mark.parametrize("below", ["", "/runs"])
@pytest.mark.parametrize(
    "command",
    ["train --suite s.yaml --dataset two_moons --out", "evaluate --suite s.yaml --dataset x --out",
     "tune --suite s.yaml --out", "stress --suite s.yaml --panel x --out",
     "estimate --suite s.yaml --model x --out", "merge a b --out",
     "collect --suite s.yaml --results",
     "report --suite s.yaml --results", "prepare --dataset two_moons --out",
     "run --plugin own.py --out"],
)  # fmt: skip
def test_a_file_in_place_of_a_folder_is_refused_before_any_work(command, below, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = CliRunner().invoke(cli.app, [*command.split(), f"{tmp_path / 'file'}{below}"])
    assert done.exit_code == 2
    said = f"ebm-bench: {tmp_path / 'file'}: is a file, where there should be a folder\n"
    assert done.stderr == said


def test_errors_of_the_system_are_one_message_with_the_file(tmp_path, capsys):
    with pytest.raises(typer.Exit) as ended, options.reported_errors():
        (tmp_path / "none").read_bytes()
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"ebm-bench: {tmp_path / 'none'}: No such file or directory\n"
    with pytest.raises(typer.Exit), options.reported_errors():
        raise OSError(errno.ENOSPC, "No space left on device")  # of the terminal's file
    assert capsys.readouterr().err == "ebm-bench: No space left on device\n"
    with pytest.raises(ConnectionRefusedError), options.reported_errors():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY", b"\x80\x04N.", "npy"])
def test_damaged_pictures_are_named(content, tmp_path):
    path = tmp_path / "runs/two_moons/dsm/pictures.npz"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        if content == "npy":
            np.save(file, np.zeros(3))
        else:
            file.write(content)
    key = ("two_moons", "dsm")
    found = SimpleNamespace(folder=tmp_path, _evaluated={key}, runs={key: make_run()})
    with pytest.raises(InputError, match=f"{path}: is damaged .*; remove it and run again"):
        Results.pictures(found, *key)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"values": {}}', "\udce4"])
def test_a_damaged_record_is_as_none(content, tmp_path):
    path = tmp_path / "record.json"
    assert records.read_whole(records.Evaluation, path) is None
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert records.read_whole(records.Evaluation, path) is None


def test_results_behind_a_link_are_known_to_be_of_their_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("far/away").mkdir(parents=True)
    Path("results").symlink_to("far/away")
    path, other = Path("süite.yaml"), Path("other.yaml")
    for file in (path, other):
        file.write_text(f"name: test\ntitle: {file}", encoding="utf-8")
    described = make_suite()
    suite.keep_file(path, Path("results/test"))
    suite.refuse_other_file(path, described, Path("results/test"))
    with pytest.raises(InputError, match="another suite of the same name 'test'"):
        suite.refuse_other_file(other, described, Path("results/test"))


@pytest.mark.parametrize(
    ("there", "same"),
    [("title: One", True), ("# No comment\ntitle: One", True), ("title: A", False)],
)
def test_a_copy_is_of_the_same_suite_if_what_it_extends_is(there, same, tmp_path):
    for folder, text in (("here", "title: One"), ("there", there)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "below.yaml").write_text(text)
        (tmp_path / folder / "suite.yaml").write_text("extends: below.yaml\nname: test")
    suite.keep_file(tmp_path / "here" / "suite.yaml", tmp_path)
    with nullcontext() if same else pytest.raises(InputError, match="another suite of the same"):
        suite.refuse_other_file(tmp_path / "there" / "suite.yaml", make_suite(), tmp_path)


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"a\0b", b"[]", b"\n"])
def test_a_damaged_note_of_the_suite_refuses_nothing(note, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("name: test", encoding="utf-8")
    (tmp_path / "[]").write_text("[]", encoding="utf-8")
    (tmp_path / ".suite").write_bytes(note)
    suite.refuse_other_file(path, make_suite(), tmp_path)


@pytest.mark.parametrize(
    ("home", "cache", "own"),
    [("none", "", True), (".", "", False), ("none", ".", False), ("", "", False)],
)
def test_make_has_a_cache_of_its_own_where_the_home_cannot_be_written(home, cache, own, tmp_path):
    root = PACKAGE.parent
    given = {"HOME": home, "XDG_CACHE_HOME": cache}
    folders = {name: str(tmp_path / folder) for name, folder in given.items() if folder}
    command = ["make", "--print-data-base", "--dry-run", "help"]
    environment = {"PATH": os.environ["PATH"], **folders}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, encoding="utf-8")
    assert (f"XDG_CACHE_HOME := {root / '.cache'}" in done.stdout) == own


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
