"""Whether longer training would change a result."""

from dataclasses import replace

import numpy as np
import pytest
from factories.report import late

from ebm_bench.report.convergence import Trend, last_quarter
from ebm_bench.report.learning_curves import EMPTY, LearningCurve
from ebm_bench.report.page import views
from ebm_bench.report.tables import tables

STEPS = np.array([0, 1, 10, 100, 500, 750, 1000])


def curve(values, steps=STEPS):
    values = np.array(values, dtype=float)
    failed = np.zeros(len(values), dtype=bool)
    return LearningCurve(steps, steps / 100, steps * 128, values, failed)


def ending(*pairs, steps=STEPS):
    """Curves of replicates by their values at three quarters and at the end."""
    return curve([[9.0] * (len(steps) - 2) + [a, b] for a, b in pairs], steps)


def test_the_factor_of_the_last_quarter_and_its_interval():
    found = last_quarter(ending((0.2, 0.1), (0.4, 0.2), (0.1, 0.05)), "log")
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))
    assert found.factor
    found = last_quarter(ending((0.2, 0.1), (0.2, 0.05)), "log")
    assert found.mean == pytest.approx(8**0.5)
    assert found.low < 1 < found.high


@pytest.mark.parametrize(
    ("pairs", "moving"),
    [
        (((2.0, 1.0), (2.1, 1.1), (1.9, 0.9)), True),  # far beyond what replicates differ by
        (((1.0, 1.0), (1.1, 1.1), (0.9, 0.9)), False),
        (((1.1, 1.0), (3.3, 3.0), (0.33, 0.3)), False),  # less than replicates differ by
        (((1.0, 2.0), (1.1, 2.1), (0.9, 1.9)), True),  # it rises
        (((2.0, 1.0),), False),  # one replicate has no interval
        (((2.0, 1.0), (np.nan, np.nan), (2.1, 1.1)), True),
    ],
)
def test_a_row_is_marked_if_it_moves_by_more_than_its_interval(pairs, moving):
    assert last_quarter(ending(*pairs), "log").moving == moving


def test_the_direction_of_the_metric():
    rising = ending((0.5, 0.6), (0.5, 0.8))
    assert last_quarter(rising, "linear", higher_is_better=True).mean == pytest.approx(0.2)
    assert last_quarter(rising, "linear").mean == pytest.approx(-0.2)


def test_between_points_the_logarithm_of_the_step_counts():
    found = last_quarter(ending((4.0, 1.0), (4.0, 1.0), steps=np.array([0, 500, 1000])), "log")
    assert np.log(found.mean) == pytest.approx(np.log(4) * np.log(1000 / 750) / np.log(2))


@pytest.mark.parametrize("failed", [[False, False, True], [False, True, True], [True] * 3])
def test_replicates_that_failed_do_not_count(failed):
    found = ending((0.2, 0.1), (0.4, 0.2), (0.1, 400.0))
    kept = [
        pair for pair, gone in zip([(0.2, 0.1), (0.4, 0.2)], failed[:2], strict=True) if not gone
    ]
    alone = last_quarter(ending(*kept), "log") if kept else Trend()
    found = last_quarter(replace(found, failed=np.array(failed)), "log")
    assert repr(found) == repr(alone)  # in which nan is nan


@pytest.mark.parametrize("status", ["escaped", "flow_escaped", "diverged", "timeout"])
def test_a_failure_at_the_last_step_does_not_count(status, change):
    def escape(record):
        late(record)
        record["outcomes"][0]["status"] = status
        for point in record["curve"]:
            if point["replicate"] == 0 and point["step"] == record["outcomes"][0]["step"]:
                point["value"] = 400.0

    trend = change("plane", "slow_100", "run.json", escape).trend("plane", "slow_100")
    assert (trend.mean == pytest.approx(2)) == (status != "timeout")


@pytest.mark.parametrize(
    "unknown",
    [
        EMPTY,
        curve([[1.0], [2.0]], np.array([0])),  # nothing was trained
        ending((2.0, 1.0), (2.0, 1.0), steps=np.array([0, 1, 100, 1000])),  # no point near the end
        ending((np.nan, 1.0), (2.0, np.nan)),
        ending((np.inf, 1.0), (np.inf, 1.0)),
    ],
)
def test_too_few_points_claim_nothing(unknown):
    found = last_quarter(unknown, "log")
    assert str(found) == "–"
    assert not found.moving


def test_tables_show_it_where_it_is_known(results, change):
    assert "Last quarter" not in tables.dataset_texts(results, "plane")["md"]
    results = change("plane", "slow_100", "run.json", late)
    rows = {row.label: row for row in results.rows("plane")}
    assert rows["slow_100"].trend.mean == pytest.approx(2)
    assert rows["slow_100"].remarks == "still moving"
    assert rows["slow_100 (flow)"].trend == rows["winner"].trend == Trend()
    shown = views.lay_out([results])[0]["end"]["datasets"]["plane"]["by"]["kl"]["rows"]
    assert {row["label"] for row in shown if "mean" in row["trend"]} == {"slow_100"}
    text = tables.dataset_texts(results, "plane")
    assert "Last quarter, KL" in text["md"]
    assert "still moving" in text["tex"]
    assert "× 2.00 [2.00, 2.00]" in text["md"]
    assert "last_quarter_moving" in text["csv"]
