"""Commands that are run by a fork of the server end, say and do what they would by themselves."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import ebm_bench
from ebm_bench.warm.client import is_served
from ebm_bench.warm.server import Server

# In place of `ebm-bench`: what a client becomes that has no answer.
ITSELF = """#!/bin/sh
echo "by itself: $*"
"""
HELP, HELPFUL = "ebm-bench train --help", "resumes where it was stopped"
TRAIN = "ebm-bench train --dataset two_moons --out runs --suite"
# A process that owns a server, and tells about it.
OWNER = """
import json, sys
from ebm_bench.warm.server import Server
server = Server(modules=[])
print(json.dumps([server.start(), server.process.pid]), flush=True)
sys.stdin.read()
"""


class Shell:
    """A shell as the workflow's jobs have it."""

    def __init__(self, definition, folder):
        programs = folder / "bin"
        programs.mkdir()
        (programs / "ebm-bench").write_text(ITSELF)
        (programs / "ebm-bench").chmod(0o755)
        self.prefix = f"set -euo pipefail; PATH={programs}:$PATH; {definition}"
        self.socket = Path(definition.split()[-3])
        self.folder = folder

    def start(self, command, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["bash", "-c", self.prefix + command], **{**pipes, **options})

    def run(self, command, **options):
        process = self.start(command, **options)
        process.stdout, process.stderr = process.communicate(timeout=60)
        return process

    def start_endless(self, server_pid):
        """Start a command that reads without end; give shell, client, and the server's fork."""
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        process = self.start(f"{TRAIN} {fifo}")
        wait_for(lambda: self.writes_to(fifo))
        (client,) = psutil.Process(process.pid).children()
        # The newest: the server may have other children.
        job = max(psutil.Process(server_pid).children(), key=psutil.Process.create_time)
        return process, client, job

    def writes_to(self, fifo):
        """Open a pipe that is being read."""
        with suppress(OSError):
            self.pipe = os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "w")
            return True
        return False


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(process):
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture(scope="module", autouse=True)
def interruptible():
    """Heed interrupts, which shells have ignored by what they put into the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def server():
    server = Server(modules=[])
    server.definition = server.start()
    yield server
    server.process.stdin.close()
    server.process.wait(60)


@pytest.fixture
def shell(server, tmp_path):
    return Shell(server.definition, tmp_path)


@pytest.fixture
def own(tmp_path):
    """Start a server in a process of its own; give that, a shell, and the server's process."""
    owners = []

    def start(**variables):
        owner = psutil.Popen(
            [sys.executable, "-c", OWNER], cwd=tmp_path, env={**os.environ, **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        owners.append(owner)
        definition, pid = json.loads(owner.stdout.readline())
        return owner, Shell(definition, tmp_path), psutil.Process(pid)

    yield start
    for owner in owners:
        owner.communicate()


def test_output_and_errors_go_where_they_belong(shell):
    done = shell.run(HELP)
    assert (done.returncode, done.stderr) == (0, "")
    assert HELPFUL in done.stdout
    failed = shell.run(f"{TRAIN} nowhere.yaml")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("ebm-bench: nowhere.yaml: cannot be read")
    assert shell.run("ebm-bench train --help >/dev/full").returncode == 1


def test_arguments_folder_and_environment_are_those_of_the_caller(shell, tmp_path):
    odd = tmp_path / "a 'folder'\n"
    odd.mkdir()
    said = shell.run(f"{TRAIN} 'no such\n\"file\"'", cwd=odd).stderr
    assert 'no such\n"file": cannot be read' in said
    (odd / "here.yaml").write_text("name: [")
    assert "here.yaml: not valid" in shell.run(f"{TRAIN} here.yaml", cwd=odd).stderr
    # Colours are asked for by the environment alone.
    plain, coloured = (
        shell.run("ebm-bench train", env={**os.environ, **variables}).stderr
        for variables in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"})
    )
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured


def test_several_commands_at_once(shell):
    processes = [shell.start(f"{TRAIN} no-{i}.yaml") for i in range(4)]
    for i, process in enumerate(processes):
        assert f"no-{i}.yaml: cannot be read" in process.communicate(timeout=60)[1]
        assert process.returncode == 2


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)],
    ids=["interrupted", "terminated"],
)
def test_signals_reach_the_job_and_its_end_the_caller(number, status, server, shell):
    process, client, job = shell.start_endless(server.process.pid)
    client.send_signal(number)
    _, err = process.communicate(timeout=60)
    # The shell tells of a signal by its own exit code.
    assert process.returncode == (status if status > 0 else 128 - status)
    assert ("the same command resumes it" in err) == (number == signal.SIGINT)
    assert is_gone(job)


def test_a_job_that_is_killed_looks_killed(server, shell):
    process, _, job = shell.start_endless(server.process.pid)
    job.kill()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL


def test_without_its_client_a_job_ends(server, shell):
    process, client, job = shell.start_endless(server.process.pid)
    client.kill()
    wait_for(lambda: is_gone(job))
    process.communicate(timeout=60)
    assert shell.run(HELP).returncode == 0


def test_a_client_that_says_nothing_harms_nobody(shell):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(shell.socket))
    assert HELPFUL in shell.run(HELP).stdout


def test_edited_code_is_read_anew(own, tmp_path):
    package = shutil.copytree(Path(ebm_bench.__file__).parent, tmp_path / "copy/ebm_bench")
    _, shell, _ = own(PYTHONPATH=str(package.parent))
    assert HELPFUL in shell.run(HELP).stdout
    (package / "model.py").write_text("edited")
    assert shell.run(HELP).stdout == "by itself: train --help\n"


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        ("train --suite s.yaml --threads 1", True),
        ("evaluate --threads 2 --suite s.yaml", False),
        ("train --threads", True),
        ("report --suite s.yaml", False),
        ("prepare --suite s.yaml", False),
        ("", False),
    ],
)
def test_the_server_runs_what_needs_what_it_loaded(arguments, served):
    assert is_served(arguments.split()) == served


@pytest.mark.parametrize("killed", ["owner", "server"])
def test_when_owner_or_server_is_killed_nothing_is_left(killed, own):
    owner, shell, server = own()
    process, _, job = shell.start_endless(server.pid)
    (owner if killed == "owner" else server).kill()
    wait_for(lambda: is_gone(job) and is_gone(server))
    out, _ = process.communicate(timeout=60)
    if killed == "owner":
        assert process.returncode == 128 + signal.SIGKILL
        assert not shell.socket.parent.exists()
    else:
        assert out.startswith("by itself: train --dataset ")
    assert shell.run(HELP).stdout == "by itself: train --help\n"


def test_what_jobs_need_is_loaded_and_nothing_is_in_use(tmp_path):
    # Threads do not survive a fork, and a GPU that is in use cannot be used by a fork.
    code = """
import os, sys
from ebm_bench.warm import server
server._load(server.Server().modules)
import torch
print(len(os.listdir("/proc/self/task")), torch.get_num_threads(), torch.cuda.is_initialized())
jobs = {"torch._dynamo", "normflows", "sklearn.mixture", "ebm_bench.runs.training"}
print(jobs <= set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1 1 False\nTrue\n", done.stderr
