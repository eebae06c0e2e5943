"""Places of what failed, and the order of what is equal."""

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latex2text import LatexNodes2Text

from ebm_bench.report.statistics import friedman, pairwise
from ebm_bench.report.tables.formats import escape


def values(**models):
    return pd.DataFrame(
        {
            "method": method, "model": "energy", "replicate": r, "value": x,
            "status": "diverged" if x is None else "ok", "standard_error": np.nan,
        }
        for method, row in models.items()
        for r, x in enumerate(row)
    )  # fmt: skip


@pytest.mark.parametrize("failed", [None, np.nan, np.inf, -np.inf])
def test_models_that_all_failed_share_the_last_place(failed):
    found = pairwise.rank(values(b=[failed] * 3, a=[failed] * 3, c=[failed] * 3), False)
    assert list(found["rank"]) == [3, 3, 3]
    assert not found["best"].any()


def test_models_that_failed_beside_one_that_did_not():
    found = pairwise.rank(values(z=[1.0, 2.0], b=[None] * 2, a=[np.nan] * 2), False)
    assert found.set_index("method")["rank"].to_dict() == {"z": 1, "b": 3, "a": 3}


@pytest.mark.parametrize("status", ["diverged", "out_of_memory", "escaped"])
def test_a_failed_replicate_takes_the_last_place_whatever_its_value(status):
    found = values(wild=[0.1, 0.1, 0.1], calm=[0.5, 0.5, 0.5], poor=[9.0, 9.0, 9.0])
    found.loc[(found["method"] == "wild") & (found["replicate"] == 1), "status"] = status
    ranked = pairwise.rank(found, False).set_index("method")
    assert ranked.loc["wild", "mean_rank"] == pytest.approx(5 / 3)
    found.loc[found["method"] == "wild", "status"] = status
    assert pairwise.rank(found, False).set_index("method")["rank"]["wild"] == 3


@pytest.mark.parametrize("higher", [False, True])
def test_equal_mean_ranks_stand_by_their_values(higher):
    # Each is first once; the mean decides, and not the alphabet.
    sign = -1 if higher else 1
    found = pairwise.rank(values(a=[sign * 7.99, sign * 0.1], b=[sign * 0.81, sign * 0.2]), higher)
    assert list(found["rank"]) == [1, 1]
    assert list(found["method"]) == ["b", "a"]
    assert list(found["reference"]) == [True, False]


def test_equal_values_stand_as_in_the_suite():
    found = pairwise.rank(values(zebra=[1.0, 2.0], ape=[2.0, 1.0], cat=[1.5, 1.5]), False)
    assert list(found["method"]) == ["zebra", "ape", "cat"]


def test_equal_average_ranks_stand_as_in_the_suite():
    one = pairwise.rank(values(zebra=[1.0, 1.0], ape=[2.0, 2.0]), False)
    other = pairwise.rank(values(zebra=[2.0, 2.0], ape=[1.0, 1.0]), False)
    assert list(friedman.overall({"x": one, "y": other})["method"]) == ["zebra", "ape"]


@pytest.mark.parametrize("text", ["λ", "μ of ö", "∇E", "χ", "a_b & 50 % #1 $x$ {y}", "Ω ≤ ∞", "ß"])
def test_labels_survive_latex(text):
    assert escape(text).isascii()
    assert LatexNodes2Text().latex_to_text(escape(text)) == text


@pytest.mark.parametrize("text", ["😀", "漢字", "①", "\u200b", "ﷺ"])
def test_letters_that_latex_lacks_are_named_by_their_number(text):
    assert escape(text).isascii()
    assert f"U+{ord(text[0]):04X}" in escape(text)


def test_what_would_break_a_caption_or_become_a_dash():
    assert escape("one\n\n two") == "one two"
    assert escape("a--b") == "a-{}-b"
