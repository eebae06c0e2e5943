"""The table of all rows, for people, papers and programs."""

from pathlib import Path

import pandas as pd

from benchmarks.speed import results
from benchmarks.speed.contest import Target
from benchmarks.speed.results import Record, RowRecord
from ebm_bench.report.tables import tables
from ebm_bench.report.wording import MISSING, estimate, number
from ebm_bench.utils.files import replacing

ENDINGS = ("md", "csv", "tex")
_MET = {True: "yes", False: "no", None: MISSING}


def write(record: Record, folder: Path) -> list[Path]:
    """Write ``table.md``, ``table.tex`` (to be read) and ``table.csv`` (all numbers)."""
    shown, told = readable(record), caption(record)
    texts = {
        "md": tables.markdown(shown, told),
        "csv": numbers(record).to_csv(index=False),
        "tex": tables.latex(shown, told, "tab:speed"),
    }
    paths = []
    for ending in ENDINGS:
        paths.append(folder / f"table.{ending}")
        with replacing(paths[-1]) as temporary:
            temporary.write_text(texts[ending])
    return paths


def readable(record: Record) -> pd.DataFrame:
    """Tell each comparison in words: a line for each target, and each contender without one."""
    lines = []
    for row in record.rows:
        compared = [name for name in row.contenders if name not in ("ours", "plain")]
        wanted = {target.against for target in row.targets if target.quantity == "seconds"}
        for target in [*row.targets, *(Target(name) for name in compared if name not in wanted)]:
            lines.append(_line(row, target))
    return pd.DataFrame(lines)


def numbers(record: Record) -> pd.DataFrame:
    """Give every number, a line for each contender of each row and target of it."""
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
    """Say what the table shows, and on what."""
    said = (
        "Cost of a step of ours beside others: same network, weights, batch and kind of "
        "optimiser, in one process of one thread. Times are of the processor, taken in turns; "
        "medians over rounds, quartiles in brackets. Memory is what a step allocates, at its "
        "peak; share of peak is that of a large float32 matrix product. The difference is the "
        "largest relative one of losses and gradients from ours, in float64. Plain steps are "
        "forward, backward and Adam of the energy alone."
    )
    if not record.rows:
        return said
    where = record.rows[0].provenance
    peaks = [row.product_peak / 1e9 for row in record.rows]
    versions = "".join(f", {name} {version}" for name, version in record.versions.items())
    codes = {row.code: row.provenance.commit for row in record.rows}
    mixed = f" Rows are of different code: {', '.join(codes.values())}." if len(codes) > 1 else ""
    unfinished = "" if record.finished else " Not all rows are measured."
    return (
        f"{said} {where.machine}, torch {where.torch}{versions}, {where.date[:10]}, commit "
        f"{where.commit}{' with changes' if where.dirty else ''}; peak "
        f"{min(peaks):.0f} to {max(peaks):.0f} GFLOP/s.{mixed}{unfinished}"
    )


def line(row: RowRecord) -> str:
    """Sum a row up for a log."""
    told = []
    for name, found in row.contenders.items():
        spread = results.faster(row, name)
        if name in ("ours", "plain"):
            continue
        told.append(f"{name} {number(spread.median)}×" if spread else f"{name} {found.status}")
    mine = row.contenders["ours"]
    memory = f"{mine.peak_bytes / 1e6:.4g} MB" if mine.peak_bytes else mine.status
    return f"{row.name}: {', '.join([*told, memory])}"


def summary(record: Record) -> str:
    """Say how many targets are met, and what is missing and why."""
    verdicts = [results.is_met(row, t) for row in record.rows for t in row.targets]
    told = [f"{verdicts.count(True)} of {len(verdicts)} targets are met"]
    if None in verdicts:
        told[0] += f", {verdicts.count(None)} could not be measured"
    for row in record.rows:
        for name, found in row.contenders.items():
            if found.status != "ok":
                told.append(f"  {row.name}, {name}: {found.note or found.status}")
    return "\n".join(told)


def disagreeing(record: Record) -> list[str]:
    """List the rows in which a contender does not compute what ours does."""
    return [
        row.name
        for row in record.rows
        if any(found.status == "disagrees" for found in row.contenders.values())
    ]


def _line(row: RowRecord, target: Target) -> dict[str, str]:
    name = target.against
    other, mine = row.contenders.get(name), row.contenders["ours"]
    broken = next((found for found in (mine, other) if found and found.status != "ok"), None)
    return {
        "row": row.name,
        "what": row.title,
        "against": name or MISSING,
        "faster": broken.note or broken.status if broken else _reached(row, target),
        "wanted": _wanted(target),
        "met": _MET[results.is_met(row, target)] if _is_wanted(target) else MISSING,
        "ours [ms]": _milliseconds(results.seconds(row, "ours")),
        "theirs [ms]": _milliseconds(results.seconds(row, name)),
        "ours [plain steps]": _number(results.plain_steps(row, "ours")),
        "ours [MB]": _megabytes(mine.peak_bytes),
        "theirs [MB]": _megabytes(other and other.peak_bytes),
        "ours, share of peak": _percent(results.share_of_peak(row, "ours")),
        "theirs, share of peak": _percent(results.share_of_peak(row, name)),
        "difference": f"{other.difference:.0e}" if other and other.difference is not None
        else MISSING,
        "rounds": str(len(mine.seconds)),
    }  # fmt: skip


def _is_wanted(target: Target) -> bool:
    return target.at_least is not None or target.at_most is not None


def _reached(row: RowRecord, target: Target) -> str:
    if target.quantity == "seconds":
        spread = results.faster(row, target.against)
        if spread is None:
            return MISSING
        ends = (spread.median, spread.low, spread.high)
        if target.at_most is not None:
            ends = tuple(1 / ends[i] for i in (0, 2, 1))
            return f"{estimate(*ends)} of its time"
        return f"{estimate(*ends)} ×"
    found = results.reached(row, target)
    if found is None:
        return MISSING
    return f"{number(found)} × less memory" if target.against else f"{_megabytes(found)} MB"


def _wanted(target: Target) -> str:
    if target.at_least is not None:
        return f"≥ {number(target.at_least)} ×"
    if target.at_most is not None:
        return (
            f"≤ {number(target.at_most)} ×"
            if target.against
            else f"≤ {_megabytes(target.at_most)} MB"
        )
    return MISSING


def _number(x: float | None) -> str:
    return MISSING if x is None else number(x)


def _milliseconds(x: float | None) -> str:
    return MISSING if x is None else number(1e3 * x)


def _megabytes(x: float | None) -> str:
    return MISSING if x is None else number(x / 1e6)


def _percent(x: float | None) -> str:
    return MISSING if x is None else f"{100 * x:.0f} %"
