"""Measure rows one after another, and store the results."""

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.speed import code, figures, measuring, results, tables
from benchmarks.speed.contest import INSTALL, PEERS, Builder, Contender, Row, is_missing
from benchmarks.speed.results import Measured, Record, RowRecord
from ebm_bench import records
from ebm_bench.errors import unknown
from ebm_bench.records import fingerprint, provenance
from ebm_bench.runs.cost import is_out_of_memory
from ebm_bench.utils import devices
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")
T = TypeVar("T")

REPEATS = 25
# Maximal duration of the rounds of one row.
ROW_SECONDS = 12.0


def run(
    rows: Sequence[Row], out: str | Path, only: Sequence[str] = (), repeats: int = REPEATS
) -> Record:
    """Measure rows, save the record after each, and write the table and the figures.

    An interrupted run of all rows resumes if the code is unchanged. Rows listed in ``only`` are
    measured again and replace those in the record.

    Parameters
    ----------
    rows : sequence of Row
        All rows.
    out : path
        Folder for ``record.json``, the tables and the figures.
    only : sequence of str
        Names of the rows to measure. All if empty.
    repeats : int
        Maximal number of rounds per row; slow rows have fewer.

    Raises
    ------
    InputError
        If a row is unknown, a file cannot be written, or the folder holds rows that were
        measured on another machine.
    """
    by_name = {row.name: row for row in rows}
    for name in only:
        if name not in by_name:
            raise unknown("row", name, by_name)
    devices.prepare_process()
    path, here = Path(out) / "record.json", provenance.collect("cpu")
    record, current = results.load(path) or Record(), digest()

    def is_current(row: RowRecord) -> bool:
        return row.code == current and not results.other_hardware(row, here)

    if only:
        results.refuse_other_hardware(record, here, path)
        kept = [row for row in record.rows if row.name in by_name and row.name not in only]
    else:
        kept = [] if record.finished else [r for r in record.rows if is_current(r)]
    known = {row.name for row in kept}
    waiting = [by_name[name] for name in only or by_name if name not in known]
    record = Record(versions=_versions(), rows=kept)
    places = list(by_name)
    with track("speed", len(waiting)) as update, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # Peer libraries draw from the global generator.
        for done, row in enumerate(waiting):
            update(done, row.name)
            measured = measure(row, repeats, current, here)
            gc.collect()  # Computation graphs are large and cyclic.
            devices.release_memory()
            record.rows = sorted([*record.rows, measured], key=lambda r: places.index(r.name))
            record.finished = len(record.rows) == len(rows)
            records.write(record, path)
            log.info("%s", tables.line(measured))
        update(len(waiting), "")
    tables.write(record, Path(out))
    figures.write(record, Path(out))
    return record


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


def digest() -> str:
    """Digest the code on which timings depend."""
    return fingerprint.digest("", code.files())[:12]


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


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PEERS if not is_missing(name)}
