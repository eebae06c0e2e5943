"""Kendall's τ of the overall ranking between halves of the replicates."""

import numpy as np
import pandas as pd
import pytest

from ebm_bench.report import stability
from ebm_bench.report.tables import tables


def places(*rows):
    """Ranks within replicates, the columns, of methods a, b, …."""
    names = [(chr(ord("a") + i), "energy") for i in range(len(rows))]
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(names, names=["method", "model"]))


def test_equal_halves_agree_and_reversed_ones_do_not():
    same = places([1] * 4, [2] * 4, [3] * 4)
    assert str(stability.between_halves({"d": same})) == (
        "Kendall's τ of average ranks between replicates 0–1 and 2–3 = 1.00."
    )
    turned = places([1, 1, 3, 3], [2] * 4, [3, 3, 1, 1])
    assert stability.between_halves({"d": turned}).tau == pytest.approx(-1)
    swapped = places([1] * 4, [2, 2, 3, 3], [3, 3, 2, 2])
    assert stability.between_halves({"d": same, "e": swapped}).tau == pytest.approx(0.816, abs=1e-3)


def test_twenty_replicates_and_an_odd_number():
    found = stability.between_halves({"d": places(*np.tile([[1], [2]], 20))})
    assert found.halves == ("0–9", "10–19")
    found = stability.between_halves({"d": places(*np.tile([[1], [2]], 5))})
    assert found.halves == ("0–1", "2–4")


def test_one_swap_of_three():
    swapped = places([1] * 4, [2, 2, 3, 3], [3, 3, 2, 2])
    assert stability.between_halves({"d": swapped}).tau == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "few", [{}, {"d": places([1] * 3, [2] * 3)}, {"d": places([1] * 4)}], ids=["0", "3", "alone"]
)
def test_too_few_replicates_or_methods(few):
    assert stability.between_halves(few) is None


def test_all_tied():
    assert "is not defined" in str(stability.between_halves({"d": places([1.5] * 4, [1.5] * 4)}))


def test_the_report_prints_it(results, tmp_path):
    assert results.stability.halves == ("0–2", "3–5")
    assert str(results.stability) in tables.overall_table(results).caption
