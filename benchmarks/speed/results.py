"""The record of a measurement, rewritten after each row, and ratios computed from it."""

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
    """Measurements of one contender of a row.

    Attributes
    ----------
    note : str
        Reason for missing timings.
    difference : float or None
        Largest relative difference of loss and gradients from ours, in float64.
    seconds : list of float
        Seconds per step, one number per round. Rounds of all contenders correspond.
    peak_bytes : int or None
        Peak memory of a step.
    operations : int or None
        Floating-point operations in matrix products of a step.
    """

    status: Status
    note: str = ""
    difference: float | None = None
    seconds: list[float] = []
    peak_bytes: int | None = None
    operations: int | None = None


class RowRecord(_Record):
    """Measurements of one row.

    Attributes
    ----------
    product_peak : float
        Floating-point operations per second of a large matrix product, measured with the row.
    code : str
        Digest of the measured code.
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
    """Measurements of all rows.

    Attributes
    ----------
    finished : bool
        Whether no row is missing.
    versions : dict of str to str
        Versions of the installed peer libraries.
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
    """How many times faster ours is, over rounds; None if it was not timed."""
    ratios = _ratios(row, contender, "ours")
    if ratios is None:
        return None
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def seconds(row: RowRecord, contender: str) -> float | None:
    """Median time of a step."""
    found = row.contenders.get(contender)
    return float(np.median(found.seconds)) if found and found.seconds else None


def plain_steps(row: RowRecord, contender: str) -> float | None:
    """Cost of a step in plain steps, the median over rounds."""
    ratios = _ratios(row, contender, "plain")
    return None if ratios is None else float(np.median(ratios))


def bound(row: RowRecord, contender: str) -> float | None:
    """Cost in plain steps of the matrix products alone, at the peak of the machine."""
    found, plain = row.contenders.get(contender), seconds(row, "plain")
    if not (found and found.operations and plain):
        return None
    return found.operations / row.product_peak / plain


def share_of_peak(row: RowRecord, contender: str) -> float | None:
    """Share of the machine's matrix-product peak that a step reaches."""
    found, took = row.contenders.get(contender), seconds(row, contender)
    if not (found and found.operations and took):
        return None
    return found.operations / took / row.product_peak


def reached(row: RowRecord, target: Target) -> float | None:
    """Ratio or amount that a target limits; None if it was not measured."""
    ours, other = row.contenders["ours"], row.contenders.get(target.against)
    if target.quantity == "peak_bytes" and not target.against:
        return ours.peak_bytes
    ratio = None
    if target.quantity == "seconds":
        found = faster(row, target.against)
        ratio = found.median if found else None
    elif other and other.peak_bytes and ours.peak_bytes:
        ratio = other.peak_bytes / ours.peak_bytes
    return ratio if ratio is None or target.at_least is not None else 1 / ratio


def is_met(row: RowRecord, target: Target) -> bool | None:
    """Whether a target is met; None if it was not measured."""
    found = reached(row, target)
    if found is None:
        return None
    if target.at_least is not None:
        return found >= target.at_least
    return target.at_most is not None and found <= target.at_most


def load(path: Path) -> Record | None:
    """Read a record, if there is one."""
    return records.read(Record, path) if path.exists() else None


def other_hardware(row: RowRecord, here: records.Provenance) -> list[str]:
    """List what differs between the machine of a row and this one."""
    return [
        f"{key} {there}, this is {now}"
        for key in ("machine", "torch", "threads", "device")
        if (there := getattr(row.provenance, key)) != (now := getattr(here, key))
    ]


def refuse_other_hardware(record: Record, here: records.Provenance, path: Path) -> None:
    """Keep timings apart that are not comparable.

    Raises
    ------
    InputError
        If a row was measured on another machine, torch version or number of threads.
    """
    for row in record.rows:
        for difference in other_hardware(row, here):
            raise InputError(
                f"{path}: row {row.name} was measured with {difference}; "
                "choose another --out, or measure all rows"
            )


def _ratios(row: RowRecord, contender: str, unit: str) -> np.ndarray | None:
    """Divide the times of a contender by those of another one, round by round."""
    found, other = row.contenders.get(contender), row.contenders.get(unit)
    if not (found and other and found.seconds and other.seconds):
        return None
    return np.array(found.seconds) / np.array(other.seconds)
