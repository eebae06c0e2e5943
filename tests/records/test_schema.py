import errno
import json
import math
import os

import pytest
from factories.records import make_evaluation, make_run

from ebm_bench import records
from ebm_bench.errors import InputError
from ebm_bench.utils.files import replacing


def fail_halfway(path, error):
    with replacing(path) as temporary:
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
        lambda r: r.update(outcomes=[]),
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
    for text in (make_run().model_dump_json()[:100], "", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(InputError, match="not a Run record"):
            records.read(records.Run, path)
