"""Inspection of data before anything is trained on them: the same for every dataset."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_bench.datasets.base import Dataset
from ebm_bench.datasets.splits import SPLITS
from ebm_bench.datasets.tables import listed
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

# Numbers that are inspected in each split and replicate.
_NUMBERS = 200_000
_REPLICATES = 2
# Least eigenvalue of correlations; that of dependent columns is rounding of float32, squared.
_DEPENDENT = 1e-11


def not_finite(rows: Sequence[str]) -> str:
    """Describe points that are not finite."""
    return f"not finite (NaN or ∞): {listed(rows)}"


def constant(columns: Sequence[str]) -> str:
    """Describe columns of which all values are equal."""
    return f"constant, so that there is no density to learn: {listed(columns)}"


def inspect(dataset: Dataset, batch_size: int | None = None, where: str = "") -> None:
    """Check shape, type, values and size of a dataset.

    Parameters
    ----------
    dataset : Dataset
        Any dataset. Points are drawn from streams of their own.
    batch_size : int, optional
        Training points in a batch.
    where : str
        Place of the dataset in the suite, and its files, for messages.

    Raises
    ------
    InputError
        Points of another shape than ``event_shape``, of another type than float32, not finite,
        constant in a coordinate, or too few.
    """
    where = where or f"dataset {dataset.name}"
    shape = dataset.event_shape
    whole = isinstance(shape, tuple | list) and all(_is_whole(n) and n > 0 for n in shape)
    if not whole or len(shape) not in (1, 3):
        raise InputError(f"{where}: event_shape is {shape}, not (d,) or (channels, height, width)")
    if not isinstance(dataset.space, str):
        raise InputError(f"{where}: space is {dataset.space!r}, not a text")
    for split in SPLITS:
        size = dataset.size(split)
        if size is not None and not _is_whole(size):
            raise InputError(f"{where}: the size of the {split} split is {size!r}, not a number")
        if size is not None and size < 2:
            raise InputError(f"{where}: {size} points in the {split} split are too few")
    train = dataset.size("train")
    if batch_size is not None and train is not None and batch_size > train:
        raise InputError(
            f"{where}: a batch of {batch_size} from {train} training points; "
            f"lower budget.batch_size to {train} or less"
        )
    count = max(64, min(10_000, _NUMBERS // torch.Size(shape).numel()))
    for split in SPLITS:
        streams = Streams(0, _REPLICATES, scope=("inspection", split))
        points = dataset.sample(count, streams, split)
        look_at(points, dataset, f"{where}, {split} split", (_REPLICATES, count))
        if split == "train" and len(shape) == 1 and (train is None or train > 2 * shape[0]):
            _refuse_dependent(points, where)


def _is_whole(number: object) -> bool:
    return hasattr(number, "__index__")


def _refuse_dependent(points: Tensor, where: str) -> None:
    """Refuse vectors of which a linear combination of coordinates is constant."""
    x = points.flatten(0, 1).double()
    if x.shape[1] == 1 or len(x) <= 2 * x.shape[1]:
        return
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh((x / x.square().mean(0).sqrt()).T.cov(correction=0))
    if values[0] < _DEPENDENT:
        share = vectors[:, 0].abs()
        found = (share > 0.1 * share.max()).nonzero().flatten().tolist()
        columns = [f"column '{j}'" for j in found]
        raise InputError(
            f"{where}: linear functions of each other, so that there is no density to learn: "
            f"{listed(columns)}; leave one of them out"
        )


def look_at(
    points: Tensor, dataset: Dataset, where: str, drawn: tuple[int, int] | None = None
) -> None:
    """Check points that were drawn.

    Parameters
    ----------
    points : Tensor of shape (R, n, *event_shape)
        Points.
    dataset : Dataset
        Dataset that they are from.
    where : str
        Origin of the points, for messages.
    drawn : tuple of int, optional
        Numbers of replicates and of points that were asked for.

    Raises
    ------
    InputError
        As for `inspect`.
    """
    if not isinstance(points, Tensor) or points.layout != torch.strided:
        kind = points.layout if isinstance(points, Tensor) else type(points).__name__
        raise InputError(f"{where}: points are {kind}, not a dense tensor")
    found, shape = tuple(points.shape), tuple(dataset.event_shape)
    expected = (*(drawn or found[:2]), *shape)
    if found != expected:
        raise InputError(f"{where}: points of shape {found}, and event_shape asks for {expected}")
    if points.dtype != torch.float32:
        raise InputError(f"{where}: points of {points.dtype}, not of torch.float32")
    flat = points.flatten(2)
    bad = (~flat.isfinite().all(2)).nonzero().tolist()
    if bad:
        rows = [f"point {i} of replicate {r}" for r, i in bad]
        raise InputError(f"{where}: {not_finite(rows)} of {points.shape[1]} drawn")
    varies = (flat != flat[:, :1]).any(1).all(0)  # in every replicate
    # Pixels that never change are usual; images that never do are not.
    still = (~varies).nonzero().flatten().tolist() if len(shape) == 1 or not varies.any() else []
    if still and points.shape[1] > 1:
        columns = [f"column '{j}'" for j in still] if len(shape) == 1 else ["every pixel"]
        raise InputError(f"{where}: {constant(columns)}")
