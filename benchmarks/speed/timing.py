"""Compare the contenders of a row, then time them."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from benchmarks.speed import measuring
from benchmarks.speed.contest import INSTALL, PEERS, Builder, Contender, Row, is_missing
from benchmarks.speed.results import Measured, RowRecord
from ebm_bench import records
from ebm_bench.runs.cost import is_out_of_memory

T = TypeVar("T")

# Maximal duration of the rounds of one row.
ROW_SECONDS = 12.0


def measure(row: Row, repeats: int, code: str, here: records.Provenance) -> RowRecord:
    """Compare the values of the contenders, then time those that agree."""
    found, steps = agree(row), {}
    for name, build in row.contenders.items():
        if found[name].status == "ok":
            contender = _guarded(name, found[name], partial(_warmed, row, build, found[name]))
            if contender:
                steps[name] = contender.step
    peak = measuring.product_peak()
    if row.timed and "ours" in steps:
        timed = measuring.interleaved(steps, repeats, ROW_SECONDS)
        for name, taken in timed.items():
            found[name].seconds = taken
    return RowRecord(
        name=row.name,
        title=row.title,
        curve=row.curve,
        dimension=row.dimension,
        batch=row.batch,
        targets=list(row.targets),
        contenders=found,
        product_peak=peak,
        code=code,
        provenance=here,
    )


def agree(row: Row) -> dict[str, Measured]:
    """Compare the values of all contenders for the same random numbers, in float64.

    Returns
    -------
    dict of str to Measured
        Contenders with a status other than ``ok`` must not be timed.
    """
    draws, expected = measuring.Draws(), None
    found: dict[str, Measured] = {}
    for name, build in row.contenders.items():
        measured = found[name] = Measured(status="ok")
        if is_missing(name):
            measured.status, measured.note = "not installed", f"not measured: {INSTALL}"
            continue
        if not row.compared:
            continue
        if expected is not None:
            draws.rewind()
        values = _guarded(name, measured, partial(_values, row, build, draws))
        if not values:
            continue
        expected = expected or values
        measured.difference = measuring.difference(values, expected)
        if not measured.difference <= measuring.TOLERANCE:
            measured.status = "disagrees"
            measured.note = f"not timed: differs from ours by {measured.difference:.1e}"
        elif not draws.matched:
            measured.status, measured.note = "disagrees", "not timed: draws other random numbers"
    return found


def _values(row: Row, build: Builder, draws: measuring.Draws) -> list[torch.Tensor]:
    contender = build(torch.float64, min(row.batch, row.check_batch))
    with draws:
        return contender.values()


def _warmed(row: Row, build: Builder, measured: Measured) -> Contender:
    """Build a contender for timing, and measure its operations and memory."""
    contender = build(torch.float32, row.batch)
    if not row.counted:
        return contender
    if row.timed:
        measured.operations = measuring.operations(contender.plain or contender.step)
        if contender.plain:
            contender.step()
    measured.peak_bytes = measuring.peak_bytes(contender.step)
    return contender


def _guarded(name: str, measured: Measured, work: Callable[[], T]) -> T | None:
    """Do the work of a contender; record running out of memory, and any error of a peer."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) and name not in PEERS:
            raise
        measured.status = "out of memory" if is_out_of_memory(error) else "failed"
        measured.note = str(error).splitlines()[0]
    except Exception as error:
        if name not in PEERS:
            raise
        measured.status, measured.note = "failed", f"{type(error).__name__}: {error}"
    return None
