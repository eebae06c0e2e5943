import hashlib
import shutil
import subprocess

import pytest
import torch

import ebm_bench
from ebm_bench.records import provenance


@pytest.fixture(autouse=True)
def fresh():
    provenance._checkout.cache_clear()


@pytest.fixture
def checkout(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("a")
    git("add", ".")
    git("commit", "-m", "first")
    return tmp_path


def test_it_describes_this_process(monkeypatch, tmp_path):
    (tmp_path / "constraints.txt").write_text("a==1\n")
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    found = provenance.collect("cpu")
    assert found.version == ebm_bench.__version__
    assert found.torch == torch.__version__
    assert found.threads == torch.get_num_threads()
    assert found.device == "cpu"
    assert found.machine
    assert found.date.endswith("+00:00")
    assert hashlib.sha256(b"a==1\n").hexdigest().startswith(found.lock)
    assert len(found.lock) == 12


def test_a_clean_checkout(checkout):
    commit, dirty = provenance._checkout(checkout)
    assert len(commit) == 12
    assert not dirty


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(checkout):
    (checkout / "new").write_text("b")
    assert not provenance._checkout(checkout)[1]
    provenance._checkout.cache_clear()
    (checkout / "file").write_text("b")
    assert provenance._checkout(checkout)[1]


def test_new_code_makes_it_dirty(checkout):
    (checkout / "ebm_bench" / "objectives").mkdir(parents=True)
    (checkout / "ebm_bench" / "objectives" / "mine.py").write_text("")
    assert provenance._checkout(checkout)[1]


def test_an_installed_package_in_the_repository_of_another_project(checkout):
    inner = checkout / "site-packages"
    inner.mkdir()
    assert provenance._checkout(inner) == (f"v{ebm_bench.__version__}", False)


def test_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert shutil.which("git") is None
    assert provenance._checkout(checkout) == (f"v{ebm_bench.__version__}", True)


def test_without_a_lock(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    assert provenance.collect("cpu").lock == "none"
