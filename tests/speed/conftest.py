"""Quick timings, and a record with two rows."""

import pytest
from factories.speed import row_record

from benchmarks.speed import measuring
from benchmarks.speed.contest import Target
from benchmarks.speed.results import Measured, Record


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Make timings quick and meaningless."""
    monkeypatch.setattr(measuring, "TIMING_SECONDS", 1e-4)
    monkeypatch.setattr(measuring, "PRODUCT_SIZE", 64)


@pytest.fixture
def record():
    """Two points of a curve; torchebm is not installed for the second."""
    missing = Measured(status="not installed", note="not measured: pip install -e '.[peers]'")
    first = row_record()
    second = row_record(
        "exact-8",
        dimension=8,
        targets=[
            Target("published", at_least=6.0),
            Target("torchebm", at_least=3.0),
            Target("published", at_least=5.0, quantity="peak_bytes"),
            Target("", at_most=1e6, quantity="peak_bytes"),
            Target("plain", at_most=2.5),
        ],
        contenders={**first.contenders, "torchebm": missing},
    )
    return Record(finished=True, versions={"ebmkit": "0.16.0"}, rows=[first, second])
