"""The list of claims and the figures of papers, and one paper that is really run."""

import pandas as pd
import pytest
from factories.papers import CLAIM, content, make_paper, make_varied, values

from ebm_bench.errors import InputError
from ebm_bench.records.collection import MEASURED
from ebm_bench.studies.papers import figures, report, run
from ebm_bench.studies.papers.claims import check
from ebm_bench.studies.papers.suite import Paper

NUMBERS = {"a": [0.1, 0.2, 0.15, 0.12], "b": [1.0, 2.0, 1.1, 1.4]}
DIFFERENCE = {"what": "steps", "published": "50,000", "here": "2"}


def test_every_claim_is_listed_with_its_interval_and_verdict():
    worse = {**CLAIM, "claim": "b is better", "published": "a figure", "ratio": ["b", "a"]}
    paper = make_paper(CLAIM, worse, scaled=[DIFFERENCE])
    text = report.render({"made_up": paper}, {"made_up": check(paper, values(NUMBERS))})
    assert "2 claims of 1 papers: 1 reproduced, 1 not." in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    first, second = (row for row in cells if row[0] in (CLAIM["claim"], worse["claim"]))
    assert first[1:4] == ["0.1 and 1", "kl_divergence of a over b, two_moons", "< 1"]
    assert first[4].startswith("0.104 [0.076, ")
    assert (first[5], second[5]) == ("reproduced", "not")
    assert ["steps", "50,000", "2"] in cells
    assert "A, B and C, 2020, arXiv:2001.00001." in text


@pytest.mark.parametrize(
    ("limits", "text"),
    [({"below": 0.1}, "< 0.1"), ({"above": 2, "below": None}, "> 2"),
     ({"above": -2.5, "below": -1.5}, "> -2.5, < -1.5")],
)  # fmt: skip
def test_limits_are_written(limits, text):
    (claim,) = make_paper({**CLAIM, **limits}).claims
    assert report.limit(claim) == text


def test_what_is_varied_is_an_axis(tmp_path):
    paper = make_varied({**CLAIM, "at": 1})
    table = pd.concat([values(NUMBERS, knob=knob) for knob in (0.1, 1.0, 10.0)])
    (axis,) = figures.figure(paper, table, tmp_path).axes
    assert (axis.get_xlabel(), axis.get_xscale(), axis.get_yscale()) == ("σ", "log", "log")
    drawn = {line.get_label(): line.get_xdata().tolist() for line in axis.get_lines()}
    assert drawn == {"a": [0.1, 1.0, 10.0], "b": [0.1, 1.0, 10.0]}


def test_what_was_not_run_is_told(tmp_path):
    with pytest.raises(InputError, match=r"made_up.values.parquet: .*run paper made_up"):
        report.build({"made_up": make_paper()}, tmp_path)


def test_a_paper_is_run_decided_and_drawn(tmp_path):
    paper = Paper.model_validate(content(datasets=["two_moons"]))
    path = run.run(paper, tmp_path / "made_up")
    found = pd.read_parquet(path)
    assert [*found.columns] == [*MEASURED, "commit", "dirty", "knob", "settings"]
    rows = found[found["metric"] == "kl_divergence"].groupby("method").size()
    assert rows.to_dict() == {"a": 4, "b": 4}
    before = path.stat().st_mtime_ns, (tmp_path / "made_up/runs/two_moons/a/run.json").stat()
    run.run(paper, tmp_path / "made_up")  # nothing is trained again
    assert (tmp_path / "made_up/runs/two_moons/a/run.json").stat() == before[1]
    written = report.build({"made_up": paper}, tmp_path)
    assert [each.name for each in written] == ["claims.md", *(f"made_up.{e}" for e in ENDINGS)]
    assert all(each.stat().st_size > 300 for each in written)


ENDINGS = ("png", "pdf", "svg")


@pytest.mark.parametrize("of", ["other settings", "an older version"])
def test_values_of_other_settings_decide_nothing(tmp_path, of):
    paper = make_paper()
    table = values(NUMBERS).assign(settings=make_paper(seed=1).settings)
    path = tmp_path / "made_up" / "values.parquet"
    path.parent.mkdir()
    (table if of == "other settings" else table.drop(columns="settings")).to_parquet(path)
    with pytest.raises(InputError, match=r"values.parquet: of other settings than made_up has now"):
        report.build({"made_up": paper}, tmp_path)
    table.assign(settings=paper.settings).to_parquet(path)
    assert len(report.load(paper, path.parent)) == len(table)


def test_what_has_no_preprint_is_found_elsewhere():
    paper = make_paper(paper={"citation": "A, 2020", "url": "https://a.org/b"})
    verdicts = check(paper, values(NUMBERS))
    assert "\nA, 2020, https://a.org/b.\n" in report.section(paper, verdicts)
