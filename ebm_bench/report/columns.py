"""Tables as columns of typed values; each output format writes the values in its own notation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ebm_bench.report.formatting import MISSING, decimals_of, number, probability


@dataclass(frozen=True)
class Notation:
    """How an output format writes the parts of a value.

    Attributes
    ----------
    text : callable
        Writes a text.
    number : callable
        Writes a number with a given number of decimals, or with three digits for None.
    paper : bool
        Whether symmetric intervals are written as ``± half the width``, and the number of
        replicates as ``4 of 6`` in a column of its own.
    """

    text: Callable[[str], str] = str
    number: Callable[[float | None, int | None], str] = number
    paper: bool = False


PLAIN = Notation()


class Cell(NamedTuple):
    """A written value: the number or text itself, its interval, what follows it, and a caveat."""

    main: str
    interval: str = ""
    after: str = ""
    note: str = ""

    def __str__(self) -> str:
        interval, note = self.interval and f" {self.interval}", self.note and f" ({self.note})"
        return f"{self.main}{interval}{self.after}{note}"


class Value(ABC):
    """A value of a table that is more than a text or an integer."""

    @abstractmethod
    def cell(self, notation: Notation) -> Cell:
        """Write the value."""

    def __str__(self) -> str:
        return str(self.cell(PLAIN))


def cell_of(value: Any, notation: Notation = PLAIN) -> Cell:
    """Write any value: a `Value`, a text, an integer, or None where it is missing."""
    if isinstance(value, Value):
        return value.cell(notation)
    return Cell(notation.text(MISSING if value is None else str(value)))


@dataclass(frozen=True)
class Number(Value):
    """A number with its unit and a caveat; missing if None or NaN."""

    x: float | None
    decimals: int | None = None
    unit: str = ""
    note: str = ""

    def cell(self, notation: Notation) -> Cell:
        """Write ``61.0 MB (note)``."""
        if self.x is None:
            return cell_of(None, notation)
        unit = notation.text(self.unit and f" {self.unit}")
        return Cell(notation.number(self.x, self.decimals) + unit, note=notation.text(self.note))


@dataclass(frozen=True)
class Rank(Value):
    """A rank, and whether it is shared with the best; None for what is not ranked."""

    rank: int | None
    tied: bool = False

    def cell(self, notation: Notation) -> Cell:
        """Write ``2 ≈``; without the sign for papers, which set ties in bold."""
        sign = " ≈" if self.tied and not notation.paper else ""
        return Cell(notation.text(MISSING if self.rank is None else f"{self.rank}{sign}"))


@dataclass(frozen=True)
class Interval(Value):
    """A mean with an interval, which may be missing (NaN), and text around both."""

    mean: float
    low: float
    high: float
    before: str = ""
    after: str = ""
    note: str = ""

    def cell(self, notation: Notation) -> Cell:
        """Write ``mean [low, high]`` with two digits of the interval's width."""
        decimals, ends = None, ""
        if not (math.isnan(self.mean) or math.isnan(self.low)):
            width = self.high - self.low
            decimals = max(decimals_of(self.mean), decimals_of(width, digits=2))
            low, high, half = (
                notation.number(x, decimals) for x in (self.low, self.high, width / 2)
            )
            ends = f"[{low}, {high}]"
            below, above = self.mean - self.low, self.high - self.mean
            # Within the two digits that are shown.
            if notation.paper and np.isclose(below, above, rtol=0.05):
                ends = f"{notation.text('±')} {half}"
        main = notation.text(self.before) + notation.number(self.mean, decimals)
        return Cell(main, ends, notation.text(self.after), notation.text(self.note))


@dataclass(frozen=True)
class Estimate(Value):
    """A metric summarised over replicates, see `intervals.summarise`; empty if not measured.

    Attributes
    ----------
    mean, median, low, high : float
        Mean, median and 95 % interval of the mean over replicates with a finite value; on the
        log scale the mean is geometric.
    standard_error : float
        Mean over replicates of the standard error that the metric itself reports.
    n, failed, not_finite, escaped : int
        Number of replicates with a finite value, that failed, without a finite value, and of those
        that failed since their mass has left the data.
    at_floor : int
        Number of values, on the log scale, that are no larger than what the evaluation resolves.
    converged : float
        Share of replicates whose value converged; NaN where the metric does not report it.
    lower_bound : bool
        Whether values that did not converge are lower bounds.
    """

    mean: float = np.nan
    median: float = np.nan
    low: float = np.nan
    high: float = np.nan
    standard_error: float = np.nan
    n: int = 0
    failed: int = 0
    not_finite: int = 0
    escaped: int = 0
    at_floor: int = 0
    converged: float = np.nan
    lower_bound: bool = False

    @property
    def replicates(self) -> int:
        """Number of replicates that were measured or failed; 0 if the metric was not measured."""
        return self.n + self.failed + self.not_finite

    def numbers(self) -> dict[str, float]:
        """Give the summary by name, from ``mean`` to ``converged``."""
        return {name: x for name, x in vars(self).items() if name != "lower_bound"}

    @property
    def bound(self) -> str:
        """Sign before a mean that only bounds the value from below or above, else empty."""
        if self.converged < 1 and self.lower_bound:
            return "≥ "
        return "≤ " if self.at_floor else ""

    def cell(self, notation: Notation) -> Cell:
        """Write the mean with its interval, or why there is none, and the caveats."""
        whole = self.n + self.escaped in (self.escaped, self.replicates)
        part = "" if whole or notation.paper else f"{self.n} of {self.replicates}"
        escaped = f"{self.escaped} of {self.replicates} escaped" if self.escaped else ""
        doubt = "not converged" if self.converged < 1 else ""
        note = ", ".join(filter(None, [part, escaped, doubt]))
        if self.n == 0:
            reason = "not finite" if self.not_finite else "failed" if self.failed else MISSING
            return Cell(notation.text(reason), note=notation.text(note))
        low, high = (np.nan, np.nan) if self.at_floor == self.n else (self.low, self.high)
        return Interval(self.mean, low, high, self.bound, note=note).cell(notation)


@dataclass(frozen=True)
class Replicates(Value):
    """The number of replicates with a finite value, of those that were measured or failed."""

    n: int
    of: int

    def cell(self, notation: Notation) -> Cell:
        """Write ``4``, or ``4 of 6`` for papers."""
        if not self.of:
            return cell_of(None, notation)
        whole = self.n == self.of or not notation.paper
        return Cell(notation.text(str(self.n) if whole else f"{self.n} of {self.of}"))


@dataclass(frozen=True)
class Difference(Value):
    """The difference of a model from the reference of its table, see `pairwise.rank`.

    Attributes
    ----------
    mean, low, high : float
        Value of the model minus that of the reference, in units of the metric.
    p : float
        p value, corrected for the comparisons with the reference; NaN where there is none.
    n : int
        Number of replicates that are compared.
    factor : bool
        Whether the numbers are factors, values being compared on the log scale.
    """

    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    n: int = 0
    factor: bool = False

    def cell(self, notation: Notation) -> Cell:
        """Write the mean difference, its interval and its p value."""
        if self.n == 0:
            return cell_of(None, notation)
        before, after = "× " if self.factor else "", f", {probability(self.p, 'p')}"
        return Interval(self.mean, self.low, self.high, before, after).cell(notation)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key : str
        Name in code.
    head : str
        Head, with unit and direction.
    value : callable
        Takes the value from a row of the table.
    best : callable
        Reports whether the value of a row is among the best, which papers set in bold.
    """

    key: str
    head: str
    value: Callable[[Any], Any]
    best: Callable[[Any], bool] = lambda row: False


@dataclass(frozen=True)
class Table:
    """A table before it is written in any format.

    Attributes
    ----------
    columns : list of Column
        Columns, as shown to people.
    rows : list
        Rows, from which the columns take their values.
    caption, label : str
        Caption, and label for references in LaTeX.
    exact : DataFrame, optional
        All numbers, for CSV.
    keys : int
        Number of leading columns that identify a row.
    apart : int, optional
        Index of the first row below a separating rule.
    """

    columns: list[Column]
    rows: list[Any]
    caption: str
    label: str = ""
    exact: pd.DataFrame | None = None
    keys: int = 1
    apart: int | None = None

    def values(self) -> list[list[Any]]:
        """Take the values of all columns, row by row."""
        return [[column.value(row) for column in self.columns] for row in self.rows]
