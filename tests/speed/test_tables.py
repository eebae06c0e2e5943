"""The table tells ratios, targets and what is missing."""

import pandas as pd
import pytest
from factories.speed import row_record

from benchmarks.speed import results, tables
from benchmarks.speed.contest import Target
from benchmarks.speed.results import Measured, Record
from ebm_bench.report.tables import formats


def test_ratios_are_taken_round_by_round():
    row = row_record()
    spread = results.faster(row, "published")
    assert (spread.low, spread.median, spread.high) == (3.5, 4.0, 4.5)
    assert results.plain_steps(row, "ours") == pytest.approx(2.0)
    assert results.seconds(row, "published") == 0.01
    assert results.faster(row, "ebmkit") is None


def test_share_of_the_peak():
    assert results.share_of_peak(row_record(), "ours") == pytest.approx(8e6 / 0.002 / 40e9)
    assert results.share_of_peak(row_record(), "plain") is None


@pytest.mark.parametrize(("target", "reached", "met"), [
    (Target("published", at_least=4.0), 4.0, True),
    (Target("published", at_least=4.1), 4.0, False),
    (Target("plain", at_most=2.0), 2.0, True),
    (Target("plain", at_most=1.9), 2.0, False),
    (Target("published", at_least=5.0, quantity="peak_bytes"), 5.0, True),
    (Target("published", at_least=6.0, quantity="peak_bytes"), 5.0, False),
    (Target("", at_most=2e6, quantity="peak_bytes"), 2e6, True),
    (Target("", at_most=1e6, quantity="peak_bytes"), 2e6, False),
    (Target("torchebm", at_least=1.0), None, None),
    (Target("torchebm", at_least=1.0, quantity="peak_bytes"), None, None),
])  # fmt: skip
def test_targets_are_met_or_not(target, reached, met):
    assert results.reached(row_record(), target) == (reached and pytest.approx(reached))
    assert results.is_met(row_record(), target) is met


def test_the_table_for_people(record):
    found = formats.frame(tables.readable(record))[["row", "against", "faster", "wanted", "met"]]
    assert found.values.tolist() == [
        ["exact-2", "published", "4.00 [3.50, 4.50] ×", "≥ 4.00 ×", "yes"],
        ["exact-8", "published", "4.00 [3.50, 4.50] ×", "≥ 6.00 ×", "no"],
        ["exact-8", "torchebm", "not measured: pip install -e '.[peers]'", "≥ 3.00 ×", "–"],
        ["exact-8", "published", "5.00 × less memory", "≥ 5.00 ×", "yes"],
        ["exact-8", "–", "2.00 MB", "≤ 1.00 MB", "no"],
        ["exact-8", "plain", "2.00 [2.00, 2.67] of its time", "≤ 2.50 ×", "yes"],
    ]
    line = formats.frame(tables.readable(record)).iloc[0]
    assert line["ours [ms]"] == "2.00"
    assert line["theirs [ms]"] == "10.0"
    assert line["theirs [MB]"] == "10.0"
    assert line["ours, share of peak"] == "10 %"
    assert line["difference"] == "3e-16"


def test_a_contender_without_a_target_is_told_all_the_same():
    found = formats.frame(tables.readable(Record(rows=[row_record(targets=[])])))
    assert found[["against", "wanted", "met"]].values.tolist() == [["published", "–", "–"]]


def test_what_disagrees_is_told_in_place_of_a_ratio():
    bad = Measured(status="disagrees", note="not timed: differs from ours by 2.0e+00", difference=2)
    row = row_record()
    row.contenders["published"] = bad
    record = Record(rows=[row])
    assert formats.frame(tables.readable(record))["faster"].tolist() == [bad.note]
    assert formats.frame(tables.readable(record))["met"].tolist() == ["–"]
    assert tables.disagreeing(record) == ["exact-2"]
    assert bad.note in tables.summary(record)


def test_the_summary_counts_targets(record):
    said = tables.summary(record)
    assert said.startswith("3 of 6 targets are met, 1 could not be measured\n")
    assert "exact-8, torchebm: not measured: pip install" in said
    assert not tables.disagreeing(record)


def test_files(record, tmp_path):
    paths = tables.write(record, tmp_path)
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.tex"]
    text = paths[0].read_text()
    assert "a machine, torch 2, ebmkit 0.16.0, 2026-01-02, commit abc; peak 40 to 40" in text
    assert "different code" not in text
    numbers = pd.read_csv(paths[1])
    found = numbers[(numbers.row == "exact-2") & (numbers.contender == "published")].iloc[0]
    assert found[["ours_is_faster", "lower_quartile", "upper_quartile"]].tolist() == [4, 3.5, 4.5]
    assert (found.seconds, found.peak_bytes, found.rounds) == (0.01, 10_000_000, 3)
    assert (found.wanted_at_least, found.met) == (4.0, True)
    assert r"\begin{tabular}" in paths[2].read_text()


def test_rows_of_different_code_and_missing_rows_are_told(record):
    record.rows[0].code, record.finished = "5678", False
    said = tables.caption(record)
    assert "Rows are of different code" in said
    assert "Not all rows are measured" in said


def test_one_line_for_the_log(record):
    assert tables.line(record.rows[1]) == ("exact-8: published 4.00×, torchebm not installed, 2 MB")
