"""A small row, and the record of one."""

from benchmarks.speed.contest import Row, Target
from benchmarks.speed.problem import Problem, ours, plain
from benchmarks.speed.published import published
from benchmarks.speed.results import Measured, RowRecord
from ebm_bench.records import Provenance

HERE = Provenance(
    version="0.1.0", commit="abc", dirty=False, lock="none", python="3", torch="2",
    device="cpu", threads=1, machine="a machine", date="2026-01-02T03:04:05+00:00",
)  # fmt: skip


def tiny(name="tiny", **contenders):
    """Build a row of real contenders on a tiny network."""
    problem = Problem("denoising_score_matching", "mlp", (2,), energy_settings={"width": 4})
    made = {"ours": ours(problem), "plain": plain(problem), "published": published(problem)}
    return Row(
        name,
        "a tiny step",
        {**made, **contenders},
        (Target("published", at_least=1e9),),
        batch=8,
        curve="tiny steps",
        dimension=2,
    )


def row_record(name="exact-2", **changes):
    """Build the record of a row: ours at 2, 2 and 4 ms, published at 8, 10 and 12, plain at 1."""
    given = {
        "name": name,
        "title": "exact score matching",
        "curve": "exact score matching",
        "dimension": 2,
        "batch": 100,
        "targets": [Target("published", at_least=4.0)],
        "contenders": {
            "ours": Measured(
                status="ok", difference=0.0, seconds=[0.002, 0.002, 0.004],
                peak_bytes=2_000_000, operations=8_000_000,
            ),
            "plain": Measured(status="ok", seconds=[0.001] * 3, peak_bytes=1_000_000),
            "published": Measured(
                status="ok", difference=3e-16, seconds=[0.008, 0.01, 0.012],
                peak_bytes=10_000_000, operations=16_000_000,
            ),
        },
        "product_peak": 40e9,
        "code": "1234",
        "provenance": HERE,
    }  # fmt: skip
    return RowRecord(**{**given, **changes})
