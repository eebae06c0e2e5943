"""One look at data before anything is trained on them: the same for every dataset."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_bench.datasets.base import Dataset
from ebm_bench.datasets.splits import SPLITS
from ebm_bench.datasets.tables import listed
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

# Numbers that are looked at in each split and replicate.
_NUMBERS = 200_000
_REPLICATES = 2


def not_finite(rows: Sequence[str]) -> str:
    """Describe points that are not finite."""
    return f"not finite (NaN or ∞): {listed(rows)}"


def constant(columns: Sequence[str]) -> str:
    """Describe columns of which all values are equal."""
    return f"constant, so that there is no density to learn: {listed(columns)}"


def inspect(dataset: Dataset, batch_size: int | None = None, where: str = "") -> None:
    """Look at shape, type, values and size of a dataset.

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
    shape = tuple(dataset.event_shape)
    if len(shape) not in (1, 3) or min(shape, default=0) < 1:
        raise InputError(f"{where}: event_shape is {shape}, not (d,) or (channels, height, width)")
    for split in SPLITS:
        size = dataset.size(split)
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
        look_at(points, shape, f"{where}, {split} split", (_REPLICATES, count))


def look_at(points: Tensor, shape: tuple[int, ...], where: str, lead: tuple[int, ...]) -> None:
    """Look at points that were drawn.

    Parameters
    ----------
    points : Tensor of shape (R, n, *event_shape)
        Points.
    shape : tuple of int
        Shape that the dataset states for one point.
    where : str
        Origin of the points, for messages.
    lead : tuple of int
        Expected number of replicates and points.

    Raises
    ------
    InputError
        As for `inspect`.
    """
    if not isinstance(points, Tensor) or points.shape != (*lead, *shape):
        found = tuple(points.shape) if isinstance(points, Tensor) else type(points).__name__
        raise InputError(
            f"{where}: points of shape {found}, and event_shape asks for {(*lead, *shape)}"
        )
    if points.dtype != torch.float32:
        raise InputError(f"{where}: points of {points.dtype}, not of torch.float32")
    flat = points.flatten(2)
    bad = (~flat.isfinite().all(2)).nonzero().tolist()
    if bad:
        rows = [f"point {i} of replicate {r}" for r, i in bad]
        raise InputError(f"{where}: {not_finite(rows)} of {lead[1]} drawn")
    if len(shape) == 1:
        still = (flat == flat[:1, :1]).all(1).all(0).nonzero().flatten().tolist()
    else:  # pixels that never change are usual, images that never do are not
        still = [] if (flat != flat[:1, :1]).any() else ["every pixel"]
    if still and lead[1] > 1:
        columns = [f"column '{j}'" if len(shape) == 1 else j for j in still]
        raise InputError(f"{where}: {constant(columns)}")
