"""A record says whose steps and seconds it holds, also of several processes."""

import json

import pytest
import torch
from factories.interruption import killed_before
from factories.suites import METHODS, make_suite

from ebm_bench import records
from ebm_bench.records import collection, provenance
from ebm_bench.runs import training


def run(suite, checkpoint=None):
    return training.train_method(suite, "eight_gaussians", "m", "cpu", checkpoint)


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """The record of a run that was resumed on another machine."""
    checkpoint, chosen = tmp_path / "checkpoint.pt", make_suite(methods={"m": METHODS["dsm"]})
    monkeypatch.setattr(provenance, "_machine", lambda device: "old")
    monkeypatch.setattr(provenance, "_checkout", lambda root: ("c1", False))
    with killed_before(5):
        run(chosen, checkpoint)
    saved = torch.load(checkpoint)
    monkeypatch.setattr(provenance, "_machine", lambda device: "new")
    monkeypatch.setattr(provenance, "_checkout", lambda root: ("c2", False))
    return run(chosen, checkpoint)[1], saved


def test_segments_say_what_ran_where(moved):
    record, saved = moved
    first, second = record.segments
    assert (first.steps, second.steps) == (5, 7)
    assert [s.hardware for s in record.segments] == ["old (cpu, 1 thread)", "new (cpu, 1 thread)"]
    assert [s.commit for s in record.segments] == ["c1", "c2"]
    plain = saved["plain"]
    assert first.seconds == plain["setup_seconds"] + plain["train_seconds"] > 0
    spent = record.cost.setup_seconds + record.cost.train_seconds
    assert first.seconds + second.seconds == pytest.approx(spent)
    assert record.curve[-1].seconds == pytest.approx(spent)


def test_seconds_of_two_machines_are_compared_with_none(moved):
    record, _ = moved
    assert record.hardware == "old (cpu, 1 thread), then new (cpu, 1 thread)"
    (remark,) = record.remarks
    assert remark.startswith("resumed after a change of machine or commit: 5 steps in ")
    alone = record.model_copy(update={"segments": record.segments[1:]})
    assert (alone.hardware, alone.remarks) == ("new (cpu, 1 thread)", [])


def test_a_record_of_several_processes_is_the_same_in_tables(moved, tmp_path):
    record = moved[0].model_copy(update={"unsaved": ["Mine.n"]})
    records.write(record, tmp_path / "run" / "run.json")
    collection.collect([tmp_path / "run"]).write(tmp_path / "records")
    (again,) = collection.load(tmp_path / "records").records().values()
    assert again == record


def test_records_of_earlier_versions_have_none_of_it(tmp_path):
    _, record = run(make_suite(methods={"m": METHODS["dsm"]}))
    assert (record.steps, record.unsaved) == ("eager", [])
    records.write(record, tmp_path / "run" / "run.json")
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    for name in ("steps", "unsaved", "segments"):
        del content[name]
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    old = records.read(records.Run, tmp_path / "run" / "run.json")
    assert (old.steps, old.unsaved, old.segments) == ("", [], [])
    assert old.hardware == old.provenance.hardware
    tables = collection.collect([tmp_path / "run"])
    tables.write(tmp_path / "records")
    runs = tables.runs.drop(columns=["steps", "unsaved", "segments"])
    runs.to_parquet(tmp_path / "records" / "runs.parquet")
    (again,) = collection.load(tmp_path / "records").records().values()
    assert again == old
