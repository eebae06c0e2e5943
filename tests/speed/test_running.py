"""Rows are measured, rejected, resumed and merged."""

import json
import math
from dataclasses import replace

import pytest
import torch
from factories.speed import HERE, tiny

from benchmarks.speed import contest, running, timing
from benchmarks.speed.contest import Contender
from ebm_bench.errors import InputError


@pytest.fixture
def undrawn(monkeypatch):
    """Skip the figures, which take a second."""
    monkeypatch.setattr(running.figures, "write", lambda record, folder: [])


def never(*_):
    raise AssertionError("must not be called")


def fails(error):
    def build(dtype, batch):
        raise error

    return build


def test_a_tiny_row_from_end_to_end(tmp_path):
    record = running.run([tiny()], tmp_path, repeats=2)
    names = {"record.json", *(f"table.{e}" for e in ("md", "csv", "tex")),
             *(f"{k}.{e}" for k in ("cost", "memory") for e in ("png", "pdf"))}  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == names
    (row,) = record.rows
    assert record.finished
    for name in ("ours", "plain", "published"):
        found = row.contenders[name]
        assert found.status == "ok"
        assert len(found.seconds) == 2
        assert found.operations > 0
        assert found.peak_bytes > 0
    assert row.contenders["published"].difference < 1e-12
    assert row.provenance.threads == torch.get_num_threads()
    assert "| tiny" in (tmp_path / "table.md").read_text()


def changed(loss=0.0, gradient=0.0):
    """Build the published way with wrong values, which must not be timed."""

    def build(dtype, batch):
        right = tiny().contenders["published"](dtype, batch)

        def values():
            value, slope = right.values()
            return [value + loss, slope + gradient]

        return Contender(never, values)

    return build


@pytest.mark.parametrize("wrong", [
    {"loss": 1e-4}, {"gradient": 1e-4}, {"loss": math.nan}, {"gradient": math.inf}
], ids=str)  # fmt: skip
def test_what_disagrees_is_not_timed(wrong):
    row = tiny(published=changed(**wrong), right=tiny().contenders["published"])
    found = timing.measure(row, 2, "code", HERE).contenders
    assert found["published"].status == "disagrees"
    assert "not timed" in found["published"].note
    assert found["published"].seconds == []
    assert found["ours"].seconds
    assert found["right"].seconds


def test_what_draws_other_numbers_is_not_timed():
    right = tiny().contenders["published"]

    def build(dtype, batch):
        contender = right(dtype, batch)
        return Contender(never, lambda: [*contender.values(), torch.randn(1)][:2])

    found = timing.agree(tiny(published=build))["published"]
    assert found.status == "disagrees"
    assert "random" in found.note


def test_a_missing_library_is_listed_with_what_installs_it(monkeypatch, tmp_path, undrawn):
    monkeypatch.setattr(contest, "find_spec", lambda name: None)
    record = running.run([tiny(torchebm=never)], tmp_path, repeats=1)
    found = record.rows[0].contenders["torchebm"]
    assert found.status == "not installed"
    assert found.note == "not measured: pip install -e '.[peers]'"
    assert "torchebm" not in record.versions
    assert found.note in (tmp_path / "table.md").read_text()
    assert record.rows[0].contenders["published"].seconds


def test_an_error_of_a_peer_is_a_result_and_one_of_ours_is_raised():
    broken = fails(TypeError("unexpected argument"))
    found = timing.measure(tiny(ebmkit=broken), 1, "code", HERE).contenders["ebmkit"]
    assert (found.status, found.note) == ("failed", "TypeError: unexpected argument")
    with pytest.raises(TypeError, match="unexpected argument"):
        timing.measure(tiny(published=broken), 1, "code", HERE)


def test_too_little_memory_is_a_result():
    exhausted = fails(RuntimeError("can't allocate memory: you tried to allocate 1 byte"))
    found = timing.measure(tiny(published=exhausted), 1, "code", HERE).contenders
    assert found["published"].status == "out of memory"
    assert found["ours"].seconds


def test_a_bound_computes_something_else_and_is_timed():
    row = tiny(published=lambda dtype, batch: Contender(lambda: None, never))
    found = timing.measure(replace(row, compared=False), 1, "code", HERE).contenders
    assert found["published"].seconds
    assert found["published"].difference is None


def test_long_work_is_timed_and_not_counted():
    row = replace(tiny(), counted=False)
    found = timing.measure(row, 1, "code", HERE).contenders["ours"]
    assert found.seconds
    assert (found.peak_bytes, found.operations) == (None, None)


def test_memory_alone_takes_no_time():
    found = timing.measure(replace(tiny(), timed=False), 1, "code", HERE).contenders["ours"]
    assert found.peak_bytes > 0
    assert found.seconds == []


def test_an_interruption_loses_one_row_at_most(tmp_path, undrawn):
    stopped = tiny("second", ours=fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        running.run([tiny("first"), stopped, tiny("third")], tmp_path, repeats=1)
    saved = json.loads((tmp_path / "record.json").read_text())
    assert [row["name"] for row in saved["rows"]] == ["first"]
    rows = [tiny("first", ours=never), tiny("second"), tiny("third")]
    record = running.run(rows, tmp_path, repeats=1)
    assert [row.name for row in record.rows] == ["first", "second", "third"]
    assert record.finished


def test_a_finished_run_is_repeated(tmp_path, undrawn):
    running.run([tiny()], tmp_path, repeats=1)
    again = running.run([tiny()], tmp_path, repeats=2)
    assert len(again.rows[0].contenders["ours"].seconds) == 2


def test_other_code_is_measured_again(tmp_path, monkeypatch, undrawn):
    rows = [tiny("first"), tiny("second", ours=fails(KeyboardInterrupt()))]
    with pytest.raises(KeyboardInterrupt):
        running.run(rows, tmp_path, repeats=1)
    monkeypatch.setattr(running, "digest", lambda: "other")
    record = running.run([tiny("first"), tiny("second")], tmp_path, repeats=1)
    assert [row.code for row in record.rows] == ["other", "other"]


def test_named_rows_are_merged_with_the_others(tmp_path, undrawn):
    running.run([tiny("first"), tiny("second")], tmp_path, repeats=1)
    rows = [tiny("first", ours=never), tiny("second")]
    record = running.run(rows, tmp_path, only=["second"], repeats=2)
    assert [row.name for row in record.rows] == ["first", "second"]
    assert [len(row.contenders["ours"].seconds) for row in record.rows] == [1, 2]


def test_rows_of_another_machine_are_not_merged(tmp_path, undrawn):
    running.run([tiny("first"), tiny("second")], tmp_path, repeats=1)
    path = tmp_path / "record.json"
    saved = json.loads(path.read_text())
    saved["rows"][0]["provenance"]["machine"] = "another machine"
    path.write_text(json.dumps(saved))
    with pytest.raises(InputError, match="first was measured with machine another machine"):
        running.run([tiny("first"), tiny("second", ours=never)], tmp_path, only=["second"])


def test_an_unknown_row_is_refused_with_the_names(tmp_path):
    with pytest.raises(InputError, match=r"unknown row 'frist'.*'first'.*Valid: first, second"):
        running.run([tiny("first"), tiny("second")], tmp_path, only=["frist"])
    assert not list(tmp_path.iterdir())


def test_the_global_generator_is_left_alone(tmp_path, undrawn):
    torch.manual_seed(3)
    expected = torch.randn(1)
    torch.manual_seed(3)
    running.run([tiny()], tmp_path, repeats=1)
    assert torch.equal(torch.randn(1), expected)
