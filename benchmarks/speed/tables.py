"""The table of all rows, for people, papers and programs."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.speed import results
from benchmarks.speed.contest import Target
from benchmarks.speed.results import Measured, Record, RowRecord
from ebm_bench.report.columns import Column, Interval, Number, Table, Value
from ebm_bench.report.formatting import number
from ebm_bench.report.tables import formats

ENDINGS = ("md", "csv", "tex")
_MS, _MB = 1e-3, 1e6


def write(record: Record, folder: Path) -> list[Path]:
    """Write ``table.md``, ``table.tex`` (to be read) and ``table.csv`` (all numbers)."""
    texts = formats.texts(readable(record))
    return [formats.save(texts[ending], folder / f"table.{ending}") for ending in ENDINGS]


def readable(record: Record) -> Table:
    """Make the table of comparisons: a line for each target, and each contender without one.

    Rows with nothing else are compared with plain steps.
    """
    lines = []
    for row in record.rows:
        compared = [name for name in row.contenders if name not in ("ours", "plain")]
        wanted = {target.against for target in row.targets if target.quantity == "seconds"}
        targets = [*row.targets, *(Target(name) for name in compared if name not in wanted)]
        targets = targets or [Target("plain")]
        lines += [_Line(row, target) for target in targets]
    return Table(_COLUMNS, lines, caption(record), "tab:speed", numbers(record))


def numbers(record: Record) -> pd.DataFrame:
    """List all numbers, a line for each contender of each row and each of its targets."""
    lines = []
    for row in record.rows:
        for name, found in row.contenders.items():
            spread = results.faster(row, name)
            fixed = {
                "row": row.name,
                "title": row.title,
                "dimension": row.dimension or None,
                "batch": row.batch,
                "contender": name,
                "status": found.status,
                "note": found.note,
                "seconds": results.seconds(row, name),
                "rounds": len(found.seconds),
                "plain_steps": results.plain_steps(row, name),
                "products_at_peak_plain_steps": results.bound(row, name),
                "peak_bytes": found.peak_bytes,
                "operations": found.operations,
                "share_of_product_peak": results.share_of_peak(row, name),
                "product_peak": row.product_peak,
                "ours_is_faster": spread and spread.median,
                "lower_quartile": spread and spread.low,
                "upper_quartile": spread and spread.high,
                "difference": found.difference,
                "commit": row.provenance.commit,
                "dirty": row.provenance.dirty,
                "code": row.code,
            }
            # A limit that is not against another contender belongs to ours.
            targets = [t for t in row.targets if (t.against or "ours") == name]
            for target in targets or [Target(name)]:
                lines.append(
                    {
                        **fixed,
                        "quantity": target.quantity if targets else None,
                        "wanted_at_least": target.at_least,
                        "wanted_at_most": target.at_most,
                        "reached": results.reached(row, target) if targets else None,
                        "met": results.is_met(row, target) if targets else None,
                    }
                )
    return pd.DataFrame(lines)


def caption(record: Record) -> str:
    """Describe the table and the machine."""
    stated = (
        "Cost of a step of ours beside others: same network, weights, batch and kind of "
        "optimiser, in one process of one thread. Times are of the processor, taken in turns; "
        "medians over rounds, quartiles in brackets. Memory is what a step allocates, at its "
        "peak; share of peak is that of a large float32 matrix product. The difference is the "
        "largest relative one of losses and gradients from ours, in float64. Plain steps are "
        "forward, backward and Adam of the energy alone."
    )
    if not record.rows:
        return stated
    where = record.rows[0].provenance
    peaks = [row.product_peak / 1e9 for row in record.rows]
    versions = "".join(f", {name} {version}" for name, version in record.versions.items())
    codes = {row.code: row.provenance.commit for row in record.rows}
    mixed = f" Rows are of different code: {', '.join(codes.values())}." if len(codes) > 1 else ""
    unfinished = "" if record.finished else " Not all rows are measured."
    return (
        f"{stated} {where.machine}, torch {where.torch}{versions}, {where.date[:10]}, commit "
        f"{where.commit}{' with changes' if where.dirty else ''}; peak "
        f"{min(peaks):.0f} to {max(peaks):.0f} GFLOP/s.{mixed}{unfinished}"
    )


def line(row: RowRecord) -> str:
    """Summarise a row for a log."""
    factors = []
    for name, found in row.contenders.items():
        spread = results.faster(row, name)
        if name in ("ours", "plain"):
            continue
        factors.append(f"{name} {number(spread.median)}×" if spread else f"{name} {found.status}")
    mine = row.contenders["ours"]
    memory = f"{mine.peak_bytes / 1e6:.4g} MB" if mine.peak_bytes else mine.status
    return f"{row.name}: {', '.join([*factors, memory])}"


def summary(record: Record) -> str:
    """Report how many targets are met, and what is missing and why."""
    verdicts = [results.is_met(row, t) for row in record.rows for t in row.targets]
    lines = [f"{verdicts.count(True)} of {len(verdicts)} targets are met"]
    if None in verdicts:
        lines[0] += f", {verdicts.count(None)} could not be measured"
    for row in record.rows:
        for name, found in row.contenders.items():
            if found.status != "ok":
                lines.append(f"  {row.name}, {name}: {found.note or found.status}")
    return "\n".join(lines)


def disagreeing(record: Record) -> list[str]:
    """List the rows in which a contender does not compute what ours does."""
    return [
        row.name
        for row in record.rows
        if any(found.status == "disagrees" for found in row.contenders.values())
    ]


@dataclass(frozen=True)
class _Line:
    row: RowRecord
    target: Target

    @property
    def ours(self) -> Measured:
        return self.row.contenders["ours"]

    @property
    def theirs(self) -> Measured | None:
        return self.row.contenders.get(self.target.against)

    @property
    def reached(self) -> Value | str | None:
        """Give what was measured of the target, or why there is nothing."""
        for found in (self.ours, self.theirs):
            if found and found.status != "ok":
                return found.note or found.status
        if self.target.quantity == "seconds":
            spread = results.faster(self.row, self.target.against)
            if spread is None:
                return None
            median, low, high = spread.median, spread.low, spread.high
            if self.target.at_most is not None:
                return Interval(1 / median, 1 / high, 1 / low, after=" of its time")
            return Interval(median, low, high, after=" ×")
        reached = results.reached(self.row, self.target)
        if reached is None:
            return None
        if self.target.against:
            return Number(reached, unit="× less memory")
        return Number(reached / _MB, unit="MB")

    @property
    def wanted(self) -> str | None:
        """Give the limit of the target."""
        least, most = self.target.at_least, self.target.at_most
        if least is not None:
            return f"≥ {number(least)} ×"
        if most is None:
            return None
        return f"≤ {number(most)} ×" if self.target.against else f"≤ {number(most / _MB)} MB"

    @property
    def met(self) -> str | None:
        met = results.is_met(self.row, self.target) if self.wanted else None
        return {True: "yes", False: "no", None: None}[met]

    @property
    def difference(self) -> str | None:
        found = self.theirs and self.theirs.difference
        return None if found is None else f"{found:.0e}"

    def seconds(self, name: str) -> Number:
        return _scaled(results.seconds(self.row, name), _MS)

    def share(self, name: str) -> Number | None:
        found = results.share_of_peak(self.row, name)
        return None if found is None else Number(100 * found, 0, "%")


def _scaled(x: float | None, unit: float) -> Number:
    return Number(None if x is None else x / unit)


_COLUMNS = [
    Column("row", "row", lambda line: line.row.name),
    Column("title", "what", lambda line: line.row.title),
    Column("against", "against", lambda line: line.target.against or None),
    Column("reached", "faster", lambda line: line.reached),
    Column("wanted", "wanted", lambda line: line.wanted),
    Column("met", "met", lambda line: line.met),
    Column("our_seconds", "ours [ms]", lambda line: line.seconds("ours")),
    Column("their_seconds", "theirs [ms]", lambda line: line.seconds(line.target.against)),
    Column(
        "plain_steps",
        "ours [plain steps]",
        lambda line: Number(results.plain_steps(line.row, "ours")),
    ),
    Column("our_memory", "ours [MB]", lambda line: _scaled(line.ours.peak_bytes, _MB)),
    Column(
        "their_memory",
        "theirs [MB]",
        lambda line: _scaled(line.theirs and line.theirs.peak_bytes, _MB),
    ),
    Column("our_share", "ours, share of peak", lambda line: line.share("ours")),
    Column("their_share", "theirs, share of peak", lambda line: line.share(line.target.against)),
    Column("difference", "difference", lambda line: line.difference),
    Column("rounds", "rounds", lambda line: len(line.ours.seconds)),
]
