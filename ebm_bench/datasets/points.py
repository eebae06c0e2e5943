"""Points of the user, from a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from ebm_bench.datasets import tables
from ebm_bench.datasets.base import Dataset
from ebm_bench.datasets.inspection import constant, not_finite
from ebm_bench.datasets.splits import Split
from ebm_bench.datasets.tables import Table
from ebm_bench.errors import InputError
from ebm_bench.registry import register
from ebm_bench.streams import Streams

# Share of the distinct values of a column that must remain distinct in float32. Of ten million
# Gaussian numbers 92 % do.
_DISTINCT = 0.8
# Roundings of the largest value that a column spreads over if it is constant but for them.
_ROUNDING = 8


@register
@dataclass(eq=False, kw_only=True)
class Points(Dataset):
    """Rows of an .npy, .csv or .parquet file, one point each, split at random.

    Rows that are not finite, columns that are constant, count the rows or lose values in float32
    are refused. With `standardise`, models see each coordinate less its mean over its standard
    deviation, both of the training points and computed in float64. Likelihoods include the
    log-determinant of that map and are in the units of the file; scores, samples and settings
    such as σ are in standard deviations.

    Parameters
    ----------
    path : str
        File, relative to the suite.
    columns : sequence of str or int
        Names or positions (from 0) of the columns to use; all if none is given.
    standardise : bool
        Whether to standardise.
    validation, test : float
        Shares of the rows for validation and test.
    split_seed : int
        Seed of the random split.
    """

    licence = "that of the file"
    citation = "the file of the user"
    files = ("path",)

    path: str
    columns: tuple[str | int, ...] = ()
    standardise: bool = True
    validation: Annotated[float, Gt(0), Lt(1)] = 0.1
    test: Annotated[float, Gt(0), Lt(1)] = 0.1
    split_seed: Annotated[int, Ge(0)] = 0

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point: the number of columns."""
        return (self._data.rows.shape[1],)

    @property
    def names(self) -> list[str]:
        """Names of the coordinates; their positions from 0 where the file has none."""
        return self._data.names

    @property
    def space(self) -> str:  # type: ignore[override]  # depends on the file
        """How points were made from the file."""
        scaled = (
            "each coordinate less its mean, over its standard deviation (training points); "
            "likelihoods are in the units of the file, all else is in standard deviations"
            if self.standardise
            else "not scaled"
        )
        return f"{self._data.split.rows} rows, at random {self._data.split}; {scaled}"

    def size(self, split: str) -> int:
        """Count the rows of a split."""
        return len(self._data.split.of(split))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw rows, shape (R, n, d).

        With replacement for training; held-out rows are not repeated before all were drawn.
        """
        rows = self._data.split.of(split)
        if split == "train" or n > len(rows):
            chosen = streams.integers(len(rows), n)
        else:
            chosen = streams.uniform(len(rows)).argsort(1)[:, :n]
        drawn = self._data.rows[torch.from_numpy(rows)[chosen.cpu()]]
        return drawn.to(streams.device)

    def batches(self, streams: Streams, split: str = "train") -> Iterator[Tensor]:
        """Go through the rows of a split once, in one batch."""
        rows = self._data.rows[torch.from_numpy(self._data.split.of(split))]
        yield rows.to(streams.device).expand(streams.replicates, -1, -1)

    def log_det(self, y: Tensor) -> Tensor:
        """Log-determinant of standardising, shape (...)."""
        return y.new_full(y.shape[:-1], -float(np.log(self._data.scale).sum()))

    def to_units(self, y: Tensor) -> Tensor:
        """Map points back to the units of the file. Shape of ``y``, in float64."""
        scale, location = map(torch.from_numpy, (self._data.scale, self._data.location))
        return y.double() * scale.to(y.device) + location.to(y.device)

    @cached_property
    def _data(self) -> "_Data":
        table = tables.read(self.path, self.columns)
        split = Split(table.rows, self.validation, self.test, self.split_seed)
        split.refuse_small(table.path)
        return _prepare(table, split, self.standardise, chosen=bool(self.columns))


class _Data(NamedTuple):
    """Points in float32, (N, d), with location and scale of each coordinate in float64."""

    rows: Tensor
    location: np.ndarray
    scale: np.ndarray
    split: Split
    names: list[str]


def _prepare(table: Table, split: Split, standardise: bool, chosen: bool) -> _Data:
    """Read column by column, so that no second copy of large files is held."""
    width = len(table.names)
    rows = np.empty((table.rows, width), dtype=np.float32)
    location, scale = np.zeros(width), np.ones(width)
    finite = np.ones(table.rows, dtype=bool)
    still, counting, rounded = [], [], []
    for j, name in enumerate(table.names):
        original = table.column(j)
        with np.errstate(over="ignore"):
            values = original.astype(np.float64)
        finite &= np.isfinite(values)
        if not finite.all():
            continue
        train = values[split.of("train")]
        if np.ptp(train) <= _ROUNDING * _precision(original.dtype) * np.abs(train).max():
            still.append(f"column '{name}' (training rows: {train[0]:g})")
            continue
        if not chosen and _counts(values):
            counting.append(f"column '{name}'")
        if standardise:
            location[j], scale[j] = _moments(train)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            rows[:, j] = (values - location[j]) / scale[j]
        before, after = len(np.unique(original)), len(np.unique(rows[:, j]))
        if after < _DISTINCT * before or not np.isfinite(rows[:, j]).all():
            rounded.append(f"column '{name}' ({after} of {before} distinct values remain)")
    if not finite.all():
        bad = [table.row(int(i)) for i in np.flatnonzero(~finite)]
        raise InputError(f"{table.path}: {not_finite(bad)}")
    problems = [constant(still)] if still else []
    if counting:
        problems.append(
            f"an index that counts the rows: {tables.listed(counting)}; list the columns that "
            "are data in the setting 'columns'"
        )
    if rounded:
        advice = "subtract an offset first" if standardise else "set standardise: true"
        problems.append(f"rounded in float32: {tables.listed(rounded)}; {advice}")
    if problems:
        raise InputError("\n".join(f"{table.path}: {problem}" for problem in problems))
    return _Data(torch.from_numpy(rows), location, scale, split, table.names)


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, also of numbers whose squares overflow."""
    unit = np.abs(values).max()
    scaled = values / unit
    return float(scaled.mean() * unit), float(scaled.std() * unit)


def _precision(kind: np.dtype) -> float:
    """Relative rounding of numbers of a type once they are in double precision; 0 of whole ones."""
    return max(np.finfo(kind).eps, np.finfo(np.float64).eps) if kind.kind == "f" else 0


def _counts(values: np.ndarray) -> bool:
    """Whether values are 0, 1, 2, … or 1, 2, 3, … in the order of the rows."""
    start = values[0]
    return start in (0, 1) and bool((values == start + np.arange(len(values))).all())
