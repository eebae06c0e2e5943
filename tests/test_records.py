import errno
import json
import math
import os

import pytest

from ebm_bench import records
from ebm_bench.errors import InputError

PROVENANCE = dict.fromkeys(
    ("version", "commit", "lock", "python", "torch", "device", "machine", "date"), "x"
) | {"dirty": False, "threads": 1}


def make_run(method="dsm", dataset="two_moons", suite_version=1, dataset_version=1):
    return records.Run(
        suite="small",
        suite_version=suite_version,
        dataset=dataset,
        dataset_version=dataset_version,
        method=method,
        objective="denoising_score_matching",
        settings={"sigma": 0.1},
        energy={"name": "mlp", "settings": {}},
        budget={"steps": 10},
        seed=0,
        control=False,
        fingerprint="f",
        outcomes=[
            records.Outcome(replicate=0, status="ok", step=10),
            records.Outcome(replicate=1, status="diverged", step=4),
        ],
        cost=records.Cost(
            setup_seconds=0.5,
            train_seconds=2.0,
            energy_evaluations=100,
            flops_per_step=1e3,
            peak_memory_bytes=1000,
            parameters=10,
        ),
        curve=[
            records.CurvePoint(
                step=10, seconds=1.0, energy_evaluations=10, replicate=0, metric="kl", value=0.1
            )
        ],
        provenance=PROVENANCE,
    )


def make_evaluation(method="dsm", metric_version=1, value=0.1, fingerprint="f"):
    values = [
        records.Value(
            model="energy",
            replicate=replicate,
            metric="kl",
            metric_version=metric_version,
            value=number,
            standard_error=None,
            split="test",
        )
        for replicate, number in enumerate((value, None))
    ]
    return records.Evaluation(
        suite="small",
        suite_version=1,
        dataset="two_moons",
        method=method,
        fingerprint=fingerprint,
        values=values,
        seconds=1.0,
        provenance=PROVENANCE,
    )


def leave(folder, run, evaluation=None):
    records.write(run, folder / "run.json")
    if evaluation:
        records.write(evaluation, folder / "evaluation.json")
    return folder


def fail_halfway(path, error):
    with records.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise error


def test_a_record_reads_back_as_it_was_written(tmp_path):
    run = make_run()
    records.write(run, tmp_path / "deep" / "run.json")
    assert records.read(records.Run, tmp_path / "deep" / "run.json") == run
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run.json"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_that_are_not_finite_survive(value, tmp_path):
    records.write(make_evaluation(value=value), tmp_path / "e.json")
    read = records.read(records.Evaluation, tmp_path / "e.json").values[0].value
    assert str(read) == str(value)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        fail_halfway(path, RuntimeError())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_bad_input_and_leaves_nothing(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputError, match=r"run\.json: cannot be written \(No space left"):
        fail_halfway(tmp_path / "run.json", full)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        records.write(make_run(), tmp_path / "file" / "run.json")
    with pytest.raises(InputError, match="cannot be written"):
        records.write(make_run(), tmp_path / "file" / "deeper" / "run.json")


def test_an_unwritable_folder():
    with pytest.raises(InputError, match="cannot be written"):
        records.write(make_run(), "/proc/ebm-bench/run.json")  # closed to root too


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: r.pop("dataset"),
        lambda r: r.update(extra=1),
        lambda r: r["outcomes"][0].update(status="fine"),
        lambda r: r["outcomes"][0].update(step=-1),
        lambda r: r["provenance"].pop("commit"),
    ],
)
def test_a_record_that_is_not_one_is_named(edit, tmp_path):
    content = json.loads(make_run().model_dump_json())
    edit(content)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"run\.json: not a Run record"):
        records.read(records.Run, path)


def test_half_a_file_and_no_file_are_named(tmp_path):
    path = tmp_path / "run.json"
    with pytest.raises(InputError, match="cannot be read"):
        records.read(records.Run, path)
    path.write_text(make_run().model_dump_json()[:100])
    with pytest.raises(InputError, match="not a Run record"):
        records.read(records.Run, path)


def test_tables_are_tidy(tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm"), make_evaluation("dsm")),
        leave(tmp_path / "b", make_run("nce")),
    ]
    values, curves = records.collect(folders)
    assert len(values) == 2
    assert set(values["method"]) == {"dsm"}
    assert values.set_index("replicate")["status"].to_dict() == {0: "ok", 1: "diverged"}
    assert values["value"].isna().tolist() == [False, True]
    assert json.loads(values["settings"][0]) == {"sigma": 0.1}
    assert set(curves["method"]) == {"dsm", "nce"}


def test_no_runs_make_empty_tables():
    values, curves = records.collect([])
    assert values.empty
    assert curves.empty


@pytest.mark.parametrize(
    ("other", "evaluation", "named"),
    [
        (make_run("nce", suite_version=2), make_evaluation("nce"), "suite 'small'"),
        (make_run("nce", dataset_version=2), make_evaluation("nce"), "dataset 'two_moons'"),
        (make_run("nce"), make_evaluation("nce", metric_version=2), "metric 'kl'"),
    ],
)
def test_mixed_versions_are_refused(other, evaluation, named, tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm"), make_evaluation("dsm")),
        leave(tmp_path / "b", other, evaluation),
    ]
    with pytest.raises(InputError, match=named) as caught:
        records.collect(folders)
    assert "version 1: dsm; version 2: nce" in str(caught.value)


def test_mixed_versions_are_refused_before_evaluation(tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm")),
        leave(tmp_path / "b", make_run("nce", suite_version=2)),
    ]
    with pytest.raises(InputError, match="suite 'small'"):
        records.collect(folders)


def test_an_evaluation_of_an_older_run_does_not_count(tmp_path):
    leave(tmp_path / "a", make_run("a"), make_evaluation("a", fingerprint="older"))
    values, curves = records.collect([tmp_path / "a"])
    assert values.empty
    assert not curves.empty
