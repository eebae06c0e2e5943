"""What a measurement leaves: one record of all rows, written anew after each of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.speed.contest import Target
from ebm_bench import records
from ebm_bench.errors import InputError

Status = Literal["ok", "disagrees", "failed", "not installed", "out of memory"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class Measured(_Record):
    """What was found of one contender of a row.

    Attributes
    ----------
    note : str
        Why there are no timings, where there are none.
    difference : float or None
        Largest relative difference of loss and gradients from ours, in float64.
    seconds : list of float
        Of a step, one number for each round; the rounds of all contenders go together.
    peak_bytes : int or None
        What a step allocates, at its peak.
    operations : int or None
        Floating-point operations of the matrix products of a step.
    """

    status: Status
    note: str = ""
    difference: float | None = None
    seconds: list[float] = []
    peak_bytes: int | None = None
    operations: int | None = None


class RowRecord(_Record):
    """What was found of one row.

    Attributes
    ----------
    product_peak : float
        Floating-point operations a second of a large matrix product, measured beside the row.
    code : str
        Digest of the package that was measured.
    """

    name: str
    title: str
    curve: str
    dimension: int
    batch: int
    targets: list[Target]
    contenders: dict[str, Measured]
    product_peak: float
    code: str
    provenance: records.Provenance


class Record(_Record):
    """All rows that were measured.

    Attributes
    ----------
    finished : bool
        Whether all rows are there that were asked for.
    versions : dict of str to str
        Of the other libraries that are installed.
    """

    finished: bool = False
    versions: dict[str, str] = {}
    rows: list[RowRecord] = []


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a ratio over rounds."""

    median: float
    low: float
    high: float


def faster(row: RowRecord, contender: str) -> Spread | None:
    """Tell how many times faster ours is, round by round; None where it was not timed."""
    mine, other = (row.contenders.get(name) for name in ("ours", contender))
    if not (mine and other and mine.seconds and other.seconds):
        return None
    ratios = np.array(other.seconds) / np.array(mine.seconds)
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def seconds(row: RowRecord, contender: str) -> float | None:
    """Tell the median time of a step."""
    found = row.contenders.get(contender)
    return float(np.median(found.seconds)) if found and found.seconds else None


def plain_steps(row: RowRecord, contender: str) -> float | None:
    """Tell the cost of a step in plain steps, the median over rounds."""
    found, plain = (row.contenders.get(name) for name in (contender, "plain"))
    if not (found and plain and found.seconds and plain.seconds):
        return None
    return float(np.median(np.array(found.seconds) / np.array(plain.seconds)))


def bound(row: RowRecord, contender: str) -> float | None:
    """Tell how many plain steps its matrix products alone would take at the machine's peak."""
    found, plain = row.contenders.get(contender), seconds(row, "plain")
    if not (found and found.operations and plain):
        return None
    return found.operations / row.product_peak / plain


def share_of_peak(row: RowRecord, contender: str) -> float | None:
    """Tell which share of the matrix-product peak of the machine a step reaches."""
    took, found = seconds(row, contender), row.contenders.get(contender)
    if not took or not found or not found.operations:
        return None
    return found.operations / took / row.product_peak


def reached(row: RowRecord, target: Target) -> float | None:
    """Tell the number that a target is about; None where it was not measured."""
    if target.quantity == "seconds":
        found = faster(row, target.against)
        ratio = found.median if found else None
    else:
        mine = row.contenders["ours"].peak_bytes
        if not target.against:
            return mine
        other = row.contenders.get(target.against)
        ratio = other.peak_bytes / mine if other and other.peak_bytes and mine else None
    if ratio is None or target.at_least is not None:
        return ratio
    return 1 / ratio


def is_met(row: RowRecord, target: Target) -> bool | None:
    """Tell whether a target is met; None where it was not measured."""
    found = reached(row, target)
    if found is None:
        return None
    return found >= target.at_least if target.at_least is not None else found <= target.at_most


def load(path: Path) -> Record | None:
    """Read a record, where there is one."""
    return records.read(Record, path) if path.exists() else None


def refuse_another_machine(record: Record, here: records.Provenance, path: Path) -> None:
    """Keep timings apart that do not compare.

    Raises
    ------
    InputError
        Where rows of the record come from another machine, torch or number of threads.
    """
    for row in record.rows:
        for key in ("machine", "torch", "threads", "device"):
            there, now = getattr(row.provenance, key), getattr(here, key)
            if there != now:
                raise InputError(
                    f"{path}: row {row.name} was measured with {key} {there}, this is {now}; "
                    "choose another --out, or measure all rows"
                )
