"""Papers are cited with a number by which they are found."""

import re

import pytest

from ebm_bench import registry

NUMBER = re.compile(
    r"doi:10\.\d{4,}/\S+|arXiv:(\d{4}\.\d{4,5}|[a-z-]+/\d{7})"
    # These have neither.
    r"|https://jmlr\.org/papers/v\d+/\w+\.html|https://www\.cs\.toronto\.edu/~kriz/\S+\.pdf"
)
PACKAGED = [e for family in registry.FAMILIES for e in registry.packaged(family)]


def references(entry):
    """The section of a docstring, or nothing."""
    text = getattr(registry.imported(entry), entry.class_name).__doc__
    return text.partition("References\n")[2].strip("- \n")


@pytest.mark.parametrize(
    "entry", [e for e in PACKAGED if e.family == "datasets" and not e.files], ids=lambda e: e.name
)
def test_the_citation_of_a_dataset_has_a_number(entry):
    assert NUMBER.search(entry.citation)


@pytest.mark.parametrize(
    "entry",
    [e for e in PACKAGED if e.family in ("objectives", "samplers") and e.name != "untrained"],
    ids=lambda e: e.name,
)
def test_objectives_and_samplers_name_their_papers(entry):
    assert references(entry)


@pytest.mark.parametrize("entry", PACKAGED, ids=lambda e: f"{e.family}-{e.name}")
def test_each_paper_has_a_number(entry):
    papers = re.findall(r'"[^"]+",\s+(?:[A-Z][\w ]+\s+)?\d{4}(?!\d)', references(entry))
    assert len(NUMBER.findall(references(entry))) >= max(len(papers), bool(references(entry)))
