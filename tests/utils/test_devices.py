import logging
import os
import subprocess
import sys
import tempfile
import threading

import pytest

from ebm_bench.errors import InputError
from ebm_bench.utils import devices


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Two made-up GPUs, and a temporary folder of our own for their locks."""
    found = {"cuda:0": "GPU-a", "cuda:1": "GPU-b"}
    monkeypatch.setattr(devices, "_gpus", lambda: found)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return found


@pytest.fixture
def no_gpus(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", dict)


def test_without_a_gpu(no_gpus):
    assert devices.resolve("auto") == devices.resolve("cpu") == "cpu"
    with devices.acquire("auto") as device:
        assert device == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "gpu", "mps", ""])
def test_an_unknown_device_names_the_valid_ones(name, no_gpus):
    with pytest.raises(InputError, match=f"unknown device '{name}'. Valid on this machine: auto,"):
        devices.resolve(name)
    with pytest.raises(InputError), devices.acquire(name):
        pass


def test_with_gpus(gpus):
    assert devices.resolve("auto") == devices.resolve("cuda") == "cuda:0"
    assert devices.resolve("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match="auto, cpu, cuda, cuda:0, cuda:1"):
        devices.resolve("cuda:2")


def test_each_process_takes_different_gpus_and_give_them_back(gpus):
    with devices.acquire("auto") as first, devices.acquire("cuda") as second:
        assert {first, second} == set(gpus)
    with devices.acquire("auto") as again:
        assert again == "cuda:0"


def test_acquiring_waits_for_a_free_gpu(gpus, caplog):
    caplog.set_level(logging.INFO, logger="ebm_bench")
    taken, release, got = threading.Event(), threading.Event(), []

    def hold():
        with devices.acquire("auto"), devices.acquire("auto"):
            taken.set()
            release.wait(300)

    def wait():
        with devices.acquire("auto") as device:
            got.append(device)

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    taken.wait(300)
    threads[1].start()
    while threads[1].is_alive() and not caplog.messages:
        threads[1].join(0.1)
    threads[1].join(0.7)  # two rounds
    assert not got
    release.set()
    for thread in threads:
        thread.join(300)
    assert len(got) == 1
    assert caplog.messages == ["waiting for a free GPU"]


def test_a_user_without_a_name(gpus, monkeypatch, tmp_path):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with devices.acquire("auto") as device:
        assert device == "cuda:0"
    assert (tmp_path / "ebm-bench-54321").is_dir()


def test_a_lock_ends_with_its_process(gpus, tmp_path):
    code = (
        "import os, signal, tempfile; from ebm_bench.utils import devices\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        f"devices._gpus = lambda: {gpus}\n"
        "claims = [devices.acquire('auto'), devices.acquire('auto')]\n"
        "print([c.__enter__() for c in claims]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -9
    with devices.acquire("auto") as device:
        assert device == "cuda:0"


def test_a_numbered_gpu_and_the_cpu_are_taken_as_they_are(gpus):
    with devices.acquire("cuda:0") as first, devices.acquire("cuda:0") as second:
        assert first == second == "cuda:0"
    with devices.acquire("cpu") as device:
        assert device == "cpu"


def test_this_machine():
    import torch

    assert len(devices._gpus()) == torch.cuda.device_count()


def test_a_prepared_process_flushes_denormal_numbers():
    code = (
        "import torch; from ebm_bench.utils import devices; devices.prepare_process();"
        "assert (torch.tensor([1e-39]) * 0.5).item() == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other allocators")
def test_a_prepared_process_keeps_freed_memory_until_it_is_released():
    code = """
import torch
from ebm_bench.utils import devices
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
devices.prepare_process()
parts = [torch.ones(1 << 18) for _ in range(100)]  # 100 MiB in pieces
full = resident()
del parts
assert full - resident() < 20 << 20
devices.release_memory()
assert full - resident() > 80 << 20
"""
    subprocess.run([sys.executable, "-c", code], check=True)
