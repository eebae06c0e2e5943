"""Tables of numbers from .npy, .csv and .parquet files, read as they are or refused."""

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebm_bench.errors import InputError, unknown

_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "."}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Columns of numbers.

    Attributes
    ----------
    path : Path
        File that they are from.
    names : list of str
        Names of the columns; their positions from 0 where the file has none.
    rows : int
        Number of rows.
    column : callable
        Takes the position of a column and returns its values as they are in the file.
    row : callable
        Names a row as users find it: ``row 3`` of an array, ``line 5`` of a text file.
    """

    path: Path
    names: list[str]
    rows: int
    column: Callable[[int], np.ndarray]
    row: Callable[[int], str] = "row {}".format


def read(path: str | Path, columns: Sequence[str | int] = ()) -> Table:
    """Read the columns of a file.

    Parameters
    ----------
    path : path
        File that ends with .npy (an array of two axes), .csv or .parquet.
    columns : sequence of str or int
        Names or positions (from 0) of the columns to read; all if none is given.

    Raises
    ------
    InputError
        Names the file and what it holds that is no table of numbers: columns of text, lines
        with missing values, an array of another shape or type.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; points are in a file ({_valid()})")
    if not path.exists():
        raise InputError(f"{path}: does not exist")
    if not path.is_file():  # a pipe or a device, which need not end
        raise InputError(f"{path}: is no file of data")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: points are read from {_valid()}, not from '{path.suffix}'")
    try:
        return reader(path, columns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _valid() -> str:
    return ", ".join(_READERS)


def _choose(path: Path, names: list[str], columns: Sequence[str | int]) -> list[int]:
    """Find the positions of columns."""
    chosen = []
    for column in columns:
        if isinstance(column, str) and names.count(column) == 1:
            chosen.append(names.index(column))
        elif isinstance(column, int) and 0 <= column < len(names):
            chosen.append(column)
        elif isinstance(column, str) and column in names:
            raise InputError(f"{path}: columns: two columns are named '{column}'; give positions")
        elif isinstance(column, str):
            raise InputError(f"{path}: columns: {unknown('column', column, names)}")
        else:
            raise InputError(f"{path}: columns: {column} is not from 0 to {len(names) - 1}")
    if len({*chosen}) < len(chosen):
        raise InputError(f"{path}: columns: a column is listed twice")
    return chosen or list(range(len(names)))


def _is_real(kind: np.dtype) -> bool:
    return kind.kind in "iuf"


def _npy(path: Path, columns: Sequence[str | int]) -> Table:
    try:
        values: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # of many kinds, as the header is Python
        raise InputError(
            f"{path}: not an array of numbers as numpy.save writes it ({error})"
        ) from None
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: an archive of several arrays (.npz); save one array as .npy")
    names = list(values.dtype.names or ()) if values.ndim == 1 else []
    if names:
        found = {name: values[name] for name in names}
    elif not _is_real(values.dtype):
        raise InputError(f"{path}: an array of {values.dtype}, not of real numbers")
    elif values.ndim != 2 or not values.shape[1]:
        advice = "; save x[:, None] for points of one coordinate" if values.ndim == 1 else ""
        raise InputError(
            f"{path}: an array of shape {values.shape}, and points are the rows of an array of "
            f"shape (n, d){advice}"
        )
    else:
        found = {str(j): values[:, j] for j in range(values.shape[1])}
    names = list(found)
    chosen = [names[i] for i in _choose(path, names, columns)]
    bad = [
        f"'{name}' ({found[name].dtype}{', several in a row' if found[name].ndim > 1 else ''})"
        for name in chosen
        if found[name].ndim > 1 or not _is_real(found[name].dtype)
    ]
    if bad:
        raise _no_numbers(path, bad)
    return Table(path, chosen, len(values), lambda j: found[chosen[j]])


def _no_numbers(path: Path, columns: list[str]) -> InputError:
    return InputError(
        f"{path}: not numbers: column {', column '.join(columns)}. Convert them, or list the "
        "columns to read in the setting 'columns'"
    )


def _parquet(path: Path, columns: Sequence[str | int]) -> Table:
    import pyarrow
    import pyarrow.parquet
    from pyarrow import types

    try:
        file = pyarrow.parquet.ParquetFile(path)
        # What pandas stores of an index without a name is not part of the data.
        schema = file.schema_arrow
        kept = [n for n in schema.names if not re.fullmatch(r"__index_level_\d+__", n)]
        chosen = [kept[i] for i in _choose(path, kept, columns)]
        if len({*chosen}) < len(chosen):
            raise InputError(f"{path}: two columns have the same name")
        found = file.read(columns=chosen)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})") from None
    fields = {name: found.schema.field(name).type for name in chosen}
    bad = [
        f"'{name}' ({kind})"
        for name, kind in fields.items()
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
    ]
    if bad:
        raise _no_numbers(path, bad)
    missing = []
    for name in chosen:
        if found[name].null_count:
            rows = np.flatnonzero(found[name].is_null().to_numpy())
            missing.append(f"'{name}' in {listed([f'row {row}' for row in rows])}")
    if missing:
        raise InputError(f"{path}: missing values: column {'; column '.join(missing)}")

    def column(j: int) -> np.ndarray:
        values = found[chosen[j]]
        if types.is_decimal(values.type):
            values = values.cast(pyarrow.float64())
        return values.to_numpy()

    return Table(path, chosen, found.num_rows, column)


def listed(items: Sequence[str], most: int = 5) -> str:
    """List the first few items, with the number of all."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown}, … ({len(items)} in all)"


class _Layout:
    """How a text file is laid out, as its first lines show.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    separator : str or None
        Between cells; None for white space.
    names : list of str
        Names of the columns.
    skipped : int
        Number of lines before the first row.
    """

    def __init__(self, path: Path):
        self.path = path
        self.separator: str | None = ","
        comments, found = 0, list[tuple[int, str]]()
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(file, 1):
                if line.startswith("#") and not found:
                    comments, comment = number, line
                elif line.strip():
                    found.append((number, line))
                if len(found) == 2:
                    break
        if not found:
            raise InputError(f"{path}: is empty")
        self.separator = _separator(found[-1][1])
        (number, first), *others = [(n, self._split(line)) for n, line in found]
        second = others[0][1] if others else None
        self.skipped, self.names = comments, list(map(str, range(len(first))))
        if _is_header(first, second):
            self.skipped, self.names = number, first
        elif comments and len(named := self._split(comment.lstrip("# "))) == len(first):
            self.names = named
        self.names = [name.strip() or str(i) for i, name in enumerate(self.names)]

    def _split(self, line: str) -> list[str]:
        return next(self.rows([line]))[1]

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Split lines into cells; a row has the number of its (last) line, from 1."""
        if self.separator is None:
            yield from ((n, line.split()) for n, line in enumerate(lines, 1) if line.strip())
            return
        reader = csv.reader(lines, delimiter=self.separator, skipinitialspace=True)
        for row in reader:
            if row:
                yield reader.line_num, row

    def all_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Split the lines of the file behind those that are skipped."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            for _ in range(self.skipped):
                next(file)
            for number, row in self.rows(file):
                yield number + self.skipped, row


def _separator(line: str) -> str | None:
    unquoted = re.sub(r'"[^"]*"', "x", line.rstrip("\r\n"))
    for separator in (";", "\t", ",", "|"):
        if separator in unquoted:
            return separator
    return None if unquoted.split() != [unquoted] else ","


def _number(text: str) -> float:
    """Read a number; 1_000 is none, which Python would take for a thousand."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def _is_header(first: list[str], second: list[str] | None) -> bool:
    """Recognise a line of names: text where the next line has numbers, or nothing but text.

    Beside text, names may be whole numbers. Names that are 0, 1, 2, … (pandas writes them for an
    array) or years in their order are above numbers with decimals.
    """
    text = [not _is_number(cell) and cell.strip().lower() not in _MISSING for cell in first]
    if all(text):
        return True
    if second is None:
        return False
    named = all(not _is_number(cell) or _is_whole(cell) for cell in first)
    if named and any(a and _is_number(b) for a, b in zip(text, second, strict=False)):
        return True
    counted = first[1:] if not first[0].strip() else first
    if len(counted) < 2 or not all(map(_is_whole, counted)) or all(map(_is_whole, second)):
        return False
    start = int(counted[0])
    return list(map(int, counted)) == list(range(start, start + len(counted)))


def _is_whole(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", cell.strip()) is not None


def _refusal(layout: _Layout, chosen: list[int], bad: list[tuple[int, list[str]]]) -> InputError:
    """Describe all rows of a text file that are not numbers in one error."""
    path, names = layout.path, layout.names
    ragged = [f"line {number} ({len(row)})" for number, row in bad if len(row) != len(names)]
    if ragged:
        return InputError(
            f"{path}: {len(names)} columns in the first line, and another number in "
            f"{listed(ragged)}"
        )
    text, missing, commas = [], [], False
    for i in chosen:
        cells = [(number, row[i].strip()) for number, row in bad]
        lines = [f"line {number}" for number, cell in cells if cell.lower() in _MISSING]
        if lines:
            missing.append(f"'{names[i]}' in {listed(lines)}")
        for number, cell in cells:
            if cell.lower() not in _MISSING and not _is_number(cell):
                text.append(f"'{names[i]}' (line {number}: {cell!r})")
                commas |= _DECIMAL_COMMA.fullmatch(cell) is not None
                break
    problems = []
    if text:
        advice = ". Decimal commas are not read: write 1.5, not 1,5" if commas else ""
        problems.append(f"{_no_numbers(path, text)}{advice}")
    if missing:
        problems.append(f"{path}: missing values: column {'; column '.join(missing)}")
    return InputError("\n".join(problems))


def _csv(path: Path, columns: Sequence[str | int]) -> Table:
    try:
        layout = _Layout(path)
        chosen = _choose(path, layout.names, columns)
        lines, values, bad = array("q"), array("d"), []
        for number, row in layout.all_rows():
            try:
                numbers = [_number(row[i]) for i in chosen]
            except (ValueError, IndexError):
                numbers = [np.nan]
            if len(row) != len(layout.names) or any(x != x for x in numbers):
                bad.append((number, row))
            lines.append(number)
            values.extend(numbers)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error.reason})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a table of numbers ({error})") from None
    if bad:
        raise _refusal(layout, chosen, bad)
    table = np.array(values).reshape(len(lines), len(chosen))
    if layout.separator == "," and _are_halves(layout, table):
        raise InputError(
            f"{path}: numbers with decimal commas, as it seems: those behind the commas begin with "
            "0. Write 1.05, not 1,05; leave the zeros out, or name the columns, where they are none"
        )

    def column(j: int) -> np.ndarray:
        found = table[:, j]
        if not len(found) or not 2**53 <= np.abs(found).max() < np.inf:
            return found
        # Whole numbers that double precision rounds are kept as they are.
        cells = [row[chosen[j]].strip() for _, row in layout.all_rows()]
        whole = all(re.fullmatch(r"[+-]?\d+", cell) for cell in cells)
        return np.array([int(cell) for cell in cells], dtype=object) if whole else found

    return Table(
        path, [layout.names[i] for i in chosen], len(lines), column,
        lambda i: f"line {lines[i]}",
    )  # fmt: skip


def _are_halves(layout: _Layout, table: np.ndarray) -> bool:
    """Whether a text file has whole numbers alone, in pairs, and some behind commas like 05.

    As many names as cells rule decimal commas out.
    """
    unnamed = layout.names == [str(i) for i in range(len(layout.names))]
    if not unnamed or len(layout.names) % 2 or not (table == np.floor(table)).all():
        return False
    cells = [cell.strip() for _, row in layout.all_rows() for cell in row[1::2]]
    return all(map(str.isdigit, cells)) and any(re.match(r"0\d", cell) for cell in cells)


_READERS: dict[str, Callable[[Path, Sequence[str | int]], Table]] = {
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
}
