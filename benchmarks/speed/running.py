"""Measure rows one after another, and store the results."""

import gc
import logging
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.speed import code, figures, results, tables
from benchmarks.speed.contest import PEERS, Row, is_missing
from benchmarks.speed.results import Record, RowRecord
from benchmarks.speed.timing import measure
from ebm_bench import records
from ebm_bench.errors import unknown
from ebm_bench.records import fingerprint, provenance
from ebm_bench.utils import devices
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

REPEATS = 25


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


def digest() -> str:
    """Digest the code on which timings depend."""
    return fingerprint.digest("", code.files())[:12]


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PEERS if not is_missing(name)}
