"""The claims that are committed, and the values that they were decided by."""

from pathlib import Path

import pytest

from ebm_bench.errors import InputError
from ebm_bench.studies.papers import report, suite
from ebm_bench.studies.papers.claims import check

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "results" / "reference" / "papers"
NAMES = sorted(path.parent.name for path in REFERENCE.glob("*/values.parquet"))


@pytest.fixture(scope="module")
def papers():
    return suite.load_all(ROOT / f"benchmarks/papers/{name}.yaml" for name in NAMES)


@pytest.fixture(scope="module")
def values(papers):
    return {name: report.load(paper, REFERENCE / name) for name, paper in papers.items()}


def test_the_claims_are_decided_by_the_values(papers, values):
    verdicts = {name: check(paper, values[name]) for name, paper in papers.items()}
    committed = (REFERENCE / "claims.md").read_text(encoding="utf-8")
    assert report.render(papers, verdicts) == committed


def test_the_values_are_those_of_committed_code_and_of_the_papers_as_they_are(papers, values):
    for name, paper in papers.items():
        assert not values[name]["dirty"].any()
        knobs = values[name]["knob"].astype(object).where(values[name]["knob"].notna(), None)
        found = zip(knobs, values[name]["dataset"], values[name]["method"], strict=True)
        assert set(found) == set(paper.cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_is_edited_makes_the_values_stale(papers, name):
    paper = papers[name]
    for changes in ({"seed": 1}, {"suite": {**paper.suite, "title": "Edited"}}):
        with pytest.raises(InputError, match="of other settings"):
            report.load(paper.model_copy(update=changes), REFERENCE / name)


def test_every_paper_has_its_figure():
    assert sorted(path.stem for path in REFERENCE.glob("*.png")) == NAMES
