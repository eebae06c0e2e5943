"""Runs are carried out as far as they are not done, whoever deletes what."""

import dataclasses
import json
import multiprocessing
import re
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from factories.suites import METHODS, make_suite

from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.runs import evaluation, tasks, training
from ebm_bench.runs.tasks import EVALUATED, TRAINED, RunTask, longest_first
from ebm_bench.utils import leases

FILES = {*TRAINED, *EVALUATED}


@pytest.fixture
def computed(monkeypatch):
    """The stages that are computed."""
    seen = []

    def spy(module, stage):
        function = getattr(module, stage)

        def spied(*arguments):
            seen.append(stage)
            return function(*arguments)

        monkeypatch.setattr(module, stage, spied)

    spy(training, "train")
    spy(evaluation, "evaluate")
    return seen


@pytest.fixture
def make_task(tmp_path):
    def make(trains=True, evaluates=True, metrics=None, **options):
        suite = make_suite(**options)
        if metrics:
            data = suite.datasets["eight_gaussians"].model_copy(update={"metrics": metrics})
            suite = suite.model_copy(update={"datasets": {"eight_gaussians": data}})
        return RunTask(suite, "eight_gaussians", "dsm", tmp_path, trains, evaluates, "cpu")

    return make


def files(task):
    return {path.name for path in task.folder.glob("*")}


def test_a_finished_run_is_not_repeated(make_task, computed):
    assert not make_task().is_done()
    make_task()()
    assert computed == ["train", "evaluate"]
    make_task()()
    assert computed == ["train", "evaluate"]
    assert make_task().is_done()
    assert files(make_task()) == FILES


def test_what_another_process_did_meanwhile_is_not_repeated(make_task, computed, monkeypatch):
    task = make_task()

    @contextmanager
    def waited(path, label):
        assert path.parent == task.kept
        make_task()._compute()
        yield

    monkeypatch.setattr(leases, "hold", waited)
    task()
    assert computed == ["train", "evaluate"]
    assert files(task) == FILES


def carry_out(task):
    task()


def test_a_run_with_too_little_memory_ends_with_a_status(make_task):
    status = Path("/proc/self/status").read_text()
    data = int(re.search(r"VmData:\s+(\d+) kB", status)[1]) * 1024 // 10**6
    # A batch of half a gigabyte for each of its layers.
    task = make_task(evaluates=False, replicates=1, steps=1, batch_size=2**24)
    task = dataclasses.replace(task, memory=data + 400)
    process = multiprocessing.get_context("fork").Process(target=carry_out, args=(task,))
    process.start()
    process.join()
    assert process.exitcode == 0
    record = json.loads((task.folder / "run.json").read_text())
    assert {outcome["status"] for outcome in record["outcomes"]} == {"out_of_memory"}


@pytest.mark.parametrize(
    ("most", "limit"), [(resource.RLIM_INFINITY, 9 * 10**9), (10**10, 9 * 10**9), (10**9, 10**9)]
)
def test_memory_is_limited_to_no_more_than_the_system_allows(most, limit, make_task, monkeypatch):
    found = [(-1, most)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: found.append(limits))
    dataclasses.replace(make_task(trains=False, evaluates=False), memory=9000)._compute()
    assert found[1:] == [(limit, most)]


def test_a_file_that_another_process_deletes_meanwhile_is_none(make_task, monkeypatch):
    task = make_task()
    monkeypatch.setattr(Path, "exists", lambda path: path.parent == task.folder)
    task.link()


@pytest.mark.parametrize("trains", [False, True])
def test_the_only_files_of_another_run_are_not_deleted(trains, make_task):
    """As of a folder that came without its hidden files, whose code was edited since."""
    make_task()()
    shutil.rmtree(make_task().kept)
    other = make_task(trains=trains, steps=13)
    other.link()
    assert {path.name for path in other.kept.glob("*")} == (FILES if trains else {*EVALUATED})
    assert files(other) == (set() if trains else {*TRAINED})
    make_task().link()
    assert {path.name for path in make_task().kept.glob("*")} == FILES


@pytest.fixture
def apart(make_task):
    """The task whose run is in the visible folder, and one whose run is in the hidden one."""
    shown, hidden = (make_task(evaluates=False, steps=steps) for steps in (12, 13))
    shown()
    copy = shutil.copytree(shown.folder, shown.out / "copy")
    hidden()
    shutil.rmtree(shown.folder)
    copy.rename(shown.folder)
    return shown, hidden


@pytest.mark.parametrize("lost", TRAINED)
def test_a_record_is_not_put_beside_the_weights_of_another_run(lost, apart):
    """As of a training that failed before it wrote its record."""
    shown, hidden = apart
    before = [(shown.folder / name).read_bytes() for name in TRAINED]
    (hidden.kept / lost).unlink()
    hidden.link()
    assert files(shown) == set()
    assert shown.is_done()
    assert [(shown.kept / name).read_bytes() for name in TRAINED] == before


def test_a_record_is_not_linked_before_its_weights(apart, monkeypatch):
    shown, hidden = apart

    def fail(source, target):
        raise InputError(f"{target}: cannot be written")

    monkeypatch.setattr(tasks, "link", fail)
    with pytest.raises(InputError, match=r"weights.safetensors: cannot be written"):
        shown.link()
    assert not (hidden.kept / "run.json").exists()


@pytest.mark.parametrize("lost", ["folder", "kept"])
def test_files_that_were_deleted_come_back_from_the_other_folder(lost, make_task, computed):
    task = make_task()
    task()
    shutil.rmtree(getattr(task, lost))
    computed.clear()
    make_task()()
    assert computed == []
    assert files(task) == FILES
    assert {path.name for path in task.kept.iterdir()} == FILES


@pytest.mark.parametrize("lost", ["weights.safetensors", "run.json"])
def test_a_run_without_its_record_or_weights_is_repeated(lost, make_task, computed):
    task = make_task()
    task()
    for folder in (task.folder, task.kept):
        (folder / lost).unlink()
    computed.clear()
    make_task()()
    assert computed[0] == "train"


def test_a_run_with_truncated_weights_is_repeated(make_task, computed):
    task = make_task()
    task()
    weights = task.kept / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])  # the link in the other folder too
    computed.clear()
    make_task()()
    assert computed[0] == "train"


@pytest.mark.parametrize("length", [0, 10, -10])
def test_pictures_that_are_truncated_are_made_again(length, make_task, computed):
    task = make_task()
    task()
    pictures = task.kept / "pictures.npz"
    whole = pictures.read_bytes()
    pictures.write_bytes(whole[:length])  # the link in the other folder too
    make_task()()
    assert computed[2:] == ["evaluate"]
    assert len((task.folder / "pictures.npz").read_bytes()) == len(whole)


@pytest.mark.parametrize("content", ["", "[]", "3", "{", '{"fingerprint": 1}', "\udce4"])
@pytest.mark.parametrize(
    ("record", "stage"), [("run.json", "train"), ("evaluation.json", "evaluate")]
)
def test_a_stage_with_a_damaged_record_is_repeated(content, record, stage, make_task, computed):
    make_task()()
    for folder in (make_task().folder, make_task().kept):
        (folder / record).write_text(content, encoding="utf-8", errors="surrogateescape")
    make_task()()
    assert computed[2:] == [stage]


def test_a_stage_whose_record_lacks_something_is_repeated(make_task, computed):
    make_task()()
    for folder in (make_task().folder, make_task().kept):
        for name, key in (("run.json", "fingerprint"), ("evaluation.json", "digest")):
            content = json.loads((folder / name).read_text())
            (folder / name).unlink()
            (folder / name).write_text(json.dumps({key: content[key]}))
    make_task()()
    assert computed[2:] == ["train", "evaluate"]


def test_other_metrics_train_nothing(make_task, computed):
    make_task()()
    computed.clear()
    other = make_task(metrics={"hyvarinen_score": {}, "fisher_divergence": {}})
    other()
    assert computed == ["evaluate"]
    values = json.loads((other.folder / "evaluation.json").read_text())["values"]
    assert {value["metric"] for value in values} == {"hyvarinen_score", "fisher_divergence"}


def test_another_budget_repeats_all_and_leaves_nothing_old(make_task, computed):
    make_task()()
    computed.clear()
    longer = make_task(steps=13, evaluates=False)
    longer()
    assert computed == ["train"]
    assert files(longer) == {*TRAINED}
    make_task(steps=13)()
    assert computed == ["train", "evaluate"]


def test_edited_code_is_not_recorded_as_what_ran(make_task, monkeypatch):
    task = make_task()
    monkeypatch.setattr(fingerprint, "of_training", lambda *arguments: "of the edited code")
    with pytest.raises(InputError, match="eight_gaussians dsm: its code was edited meanwhile"):
        task()


def test_evaluation_alone_needs_a_training(make_task, computed):
    with pytest.raises(InputError, match="has no trained model; `ebm-bench train` leaves one"):
        make_task(trains=False)()
    make_task(evaluates=False)()
    make_task(trains=False)()
    assert computed == ["train", "evaluate"]
    with pytest.raises(InputError, match="trained with other settings"):
        make_task(trains=False, steps=13)()


def test_fits_flows_and_samplers_start_first_and_controls_last():
    suite = make_suite()
    runs = [("eight_gaussians", method) for method in METHODS]
    assert [method for _, method in longest_first(suite, runs)] == [
        "gaussian", "fce", "pcd", "dsm", "nce", "truth",
    ]  # fmt: skip
