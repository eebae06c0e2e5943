"""Tasks run side by side, fail one by one, and end with the process that started them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from ebm_bench import registry
from ebm_bench.runs import processes

ROOT = Path(__file__).parents[2]
WAIT = 300  # seconds, more than anything takes on a busy machine; the sleepers take longer
SLEEPER = """
import time
from functools import partial
from ebm_bench.runs import processes
for ended in processes.run_all({"a": partial(time.sleep, 600), "b": partial(time.sleep, 600)}, 2):
    print(ended)
"""

PLUGIN = """
from dataclasses import dataclass
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
@register
@dataclass(eq=False, kw_only=True)
class Mine(Objective):
    '''Mine.'''
"""


@pytest.fixture(autouse=True)
def own_server():
    """A process to fork from that writes to what the test captures."""
    forkserver._forkserver._stop()  # that of other tests
    yield
    forkserver._forkserver._stop()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_fails_does_not_stop_the_others(jobs, tmp_path, capfd):
    folders = [tmp_path / str(i) for i in range(2)]
    tasks = {
        "bug": partial(os.rmdir, 3.14),
        "no folder": partial(os.rmdir, tmp_path / "none"),
        "first": partial(os.mkdir, folders[0]),
        "refused": partial(registry.describe, "objectives", "none such"),
        "plugin": partial(registry.create, "objectives", "mine"),
        "second": partial(os.mkdir, folders[1]),
    }
    mine = tmp_path / "plugin.py"
    mine.write_text(PLUGIN + "    def __post_init__(self):\n        {}['sigma']\n")
    ended = {each.label: each.exit_code for each in processes.run_all(tasks, jobs, [mine])}
    assert ended == {"bug": 1, "no folder": 2, "first": 0, "refused": 2, "plugin": 2, "second": 0}
    assert all(folder.exists() for folder in folders)
    errors = capfd.readouterr().err
    assert "ebm-bench: unknown objective 'none such'" in errors
    assert f"ebm-bench: {tmp_path / 'none'}: No such file or directory" in errors
    assert f"ebm-bench: {mine}:10: Mine.__post_init__() raised KeyError: 'sigma'" in errors
    assert errors.count("Traceback") == 1


def test_a_task_that_is_killed_is_reported_and_the_others_go_on(tmp_path):
    tasks = {
        "killed": partial(signal.raise_signal, signal.SIGKILL),
        "other": partial(os.mkdir, tmp_path / "other"),
    }
    ended = {each.label: each.exit_code for each in processes.run_all(tasks, 2)}
    assert ended == {"killed": -signal.SIGKILL, "other": 0}


def test_tasks_start_in_order_and_as_many_at_once_as_asked_for():
    tasks = {str(i): partial(time.sleep, 0.5) for i in range(4)}
    ended = list(processes.run_all(tasks, 2))
    assert {each.label for each in ended[:2]} == {"0", "1"}
    assert all(each.seconds >= 0.5 for each in ended)


def test_plugins_are_loaded_in_every_process(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    tasks = {name: partial(registry.describe, "objectives", "mine") for name in ("a", "b")}
    assert [each.exit_code for each in processes.run_all(tasks, 2, [plugin])] == [0, 0]
    assert [each.exit_code for each in processes.run_all(tasks, 2)] == [2, 2]


@pytest.fixture
def sleeping(tmp_path):
    """A process with two tasks that sleep, and all that it started."""
    processes_started = []

    def start(**variables):
        process = psutil.Popen(
            [sys.executable, "-c", SLEEPER], start_new_session=True, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, **variables},
            # Shells have what they put into the background ignore interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        processes_started.append(process)
        deadline = time.monotonic() + WAIT
        # The server of forks, the tracker of resources and two tasks.
        while len(process.children(recursive=True)) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, process.children(recursive=True)

    yield start
    for process in processes_started:
        process.communicate()


def test_tasks_end_when_their_parent_is_killed(sleeping):
    process, started = sleeping()
    process.kill()
    assert not psutil.wait_procs(started, timeout=WAIT)[1]


def test_an_interrupt_ends_all_tasks(sleeping):
    process, started = sleeping()
    os.killpg(process.pid, signal.SIGINT)
    assert not psutil.wait_procs([process, *started], timeout=WAIT)[1]
    assert process.stdout.read() == ""


def test_a_job_ends_with_the_workflow():
    workflow = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = "from ebm_bench.runs import processes as p; p.end_with_workflow(); input()"
    job = psutil.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE,
        env={**os.environ, processes.WORKFLOW: str(workflow.pid)},
    )  # fmt: skip
    with pytest.raises(psutil.TimeoutExpired):
        job.wait(2)
    workflow.kill()
    workflow.wait()
    assert job.wait(WAIT) == 1


def test_what_runs_need_is_imported_and_read_and_nothing_is_in_use():
    # Threads do not survive a fork, and a GPU that is in use cannot be used by a fork.
    code = """
import os, sys
from ebm_bench.runs import preload
import torch
print(len(os.listdir("/proc/self/task")), torch.get_num_threads(), torch.cuda.is_initialized())
print("normflows" in sys.modules, {"torch._dynamo", "sklearn"} & set(sys.modules))
from ebm_bench.records import fingerprint
from ebm_bench.suites import suite
fingerprint._read = lambda path: print(path.name, "is read again") or b""
quick = suite.load("benchmarks/quick.yaml")
for dataset in quick.datasets:
    for method in quick.methods_of(dataset):
        fingerprint.of_evaluation(quick, dataset, method)
"""
    environment = {**os.environ, **processes.ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout == "1 1 False\nTrue set()\n", done.stderr
