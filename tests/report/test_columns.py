"""Values of tables, written as plain text."""

import math

import pytest

from ebm_bench.report.columns import (
    Difference,
    Estimate,
    Interval,
    Notation,
    Number,
    Rank,
    Replicates,
    cell_of,
)
from ebm_bench.report.formatting import count

PAPER = Notation(paper=True)
NAN = math.nan


@pytest.mark.parametrize(
    ("value", "text", "paper"),
    [
        (None, "–", "–"),
        ("not run", "not run", "not run"),
        (0, "0", "0"),
        (Number(61.0, note="M2"), "61.0 (M2)", "61.0 (M2)"),
        (Number(4, 2, "MB"), "4.00 MB", "4.00 MB"),
        (Number(None, unit="MB"), "–", "–"),
        (count(76_800), "76.8 k", "76.8 k"),
        (Rank(2, tied=True), "2 ≈", "2"),
        (Rank(None), "–", "–"),
        (Replicates(4, 6), "4", "4 of 6"),
        (Replicates(6, 6), "6", "6"),
        (Replicates(0, 0), "–", "–"),
        # Two digits of the interval's width.
        (Interval(3.4561, 3.4550, 3.4572), "3.4561 [3.4550, 3.4572]", "3.4561 ± 0.0011"),
        (Interval(2.3, 0.2, 25.1), "2.30 [0.20, 25.10]", "2.30 [0.20, 25.10]"),
        (Interval(3.4561, NAN, NAN), "3.46", "3.46"),
        (Interval(1.0, 1.0, 1.0), "1.00 [1.00, 1.00]", "1.00 ± 0.00"),
        (Interval(NAN, NAN, NAN), "–", "–"),
        (Interval(4, 3.5, 4.5, after=" ×"), "4.00 [3.50, 4.50] ×", "4.00 ± 0.50 ×"),
        (Difference(2, 1, 3, p=0.02, n=5), "2.00 [1.00, 3.00], p = 0.02", "2.00 ± 1.00, p = 0.02"),
        (Difference(2, NAN, NAN, NAN, n=1), "2.00, p = –", "2.00, p = –"),
        (Difference(), "–", "–"),
        (Estimate(), "–", "–"),
        (Estimate(failed=3), "failed", "failed"),
        (Estimate(failed=2, not_finite=1), "not finite", "not finite"),
        (Estimate(3.2, 3.2, 3.1, 3.3, n=4, failed=2), "3.20 [3.10, 3.30] (4 of 6)", "3.20 ± 0.10"),
        (
            Estimate(3.2, 3.2, 3.1, 3.3, n=4, failed=2, escaped=2),
            "3.20 [3.10, 3.30] (2 of 6 escaped)",
            "3.20 ± 0.10 (2 of 6 escaped)",
        ),
        (
            Estimate(3.2, 3.2, 3.1, 3.3, n=3, failed=2, escaped=1, not_finite=1),
            "3.20 [3.10, 3.30] (3 of 6, 1 of 6 escaped)",
            "3.20 ± 0.10 (1 of 6 escaped)",
        ),
        (Estimate(failed=3, escaped=3), "failed (3 of 3 escaped)", "failed (3 of 3 escaped)"),
        (
            Estimate(3.2, 3.2, 3.1, 3.3, n=2, failed=1, converged=0.5),
            "3.20 [3.10, 3.30] (2 of 3, not converged)",
            "3.20 ± 0.10 (not converged)",
        ),
        (
            Estimate(3.2, 3.2, 3.1, 3.3, n=3, converged=2 / 3, lower_bound=True),
            "≥ 3.20 [3.10, 3.30] (not converged)",
            "≥ 3.20 ± 0.10 (not converged)",
        ),
        (
            Estimate(3.2, 3.2, 3.1, 3.3, n=3, converged=1.0, lower_bound=True),
            "3.20 [3.10, 3.30]",
            "3.20 ± 0.10",
        ),
        (Estimate(1e-6, 1e-6, 1e-6, 1e-6, n=3, at_floor=3), "≤ 1.00e−6", "≤ 1.00e−6"),
    ],
)
def test_values(value, text, paper):
    assert str(cell_of(value)) == text
    assert str(cell_of(value, PAPER)) == paper


def test_the_numbers_of_an_estimate_are_its_summary():
    found = Estimate(1.0, n=3).numbers()
    assert set(found) >= {"mean", "low", "failed", "converged"}
    assert "lower_bound" not in found
    assert found["n"] == 3
