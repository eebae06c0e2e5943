"""Contracts of datasets."""

import math
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from ebm_bench.datasets.base import Dataset
from ebm_bench.runs.contracts.base import Contract, foreign_draws, misshapen
from ebm_bench.streams import Streams

_POINTS, _MOST = 64, 1000
_STEP, _TOLERANCE = 1e-4, 0.05  # in standard deviations of the data; relative
_ERRORS = 8  # standard errors


def _density_fault(dataset: Any, x: Tensor) -> str:
    methods = ("log_prob", "score", "entropy", "parameters")
    lacking = [name for name in methods if getattr(type(dataset), name) is getattr(Dataset, name)]
    own = {*dir(type(dataset)), *vars(dataset)}  # not computed, which may take long
    lacking += [name for name in ("modes", "mode_weights") if name not in own]
    for name in lacking:
        if name.replace("mode_weights", "modes") in dataset.knows:
            return f"{name} is not defined, although the class knows it"
    if why := _box_fault(dataset, x):
        return why
    if "log_prob" in dataset.knows:
        values = dataset.log_prob(x)
        if why := misshapen(values, x, axes=2) or (
            "NaN at its points" if values.isnan().any() else ""
        ):
            return f"log_prob: {why}"
    if "score" not in dataset.knows:
        return ""
    found = dataset.score(x)
    if isinstance(found, Tensor) and found.shape != x.shape:
        return f"score of shape {tuple(found.shape)} for points of shape {tuple(x.shape)}"
    return f"score: {why}" if (why := misshapen(found, x, axes=x.ndim)) else ""


def _box_fault(dataset: Any, x: Tensor) -> str:
    """Look at the bounds over which metrics integrate."""
    if "grid" not in dataset.knows:
        return ""
    try:
        bounds = x.new_tensor(dataset.box)
    except (TypeError, ValueError):  # of what is no tensor
        bounds = x.new_zeros(0)
    if bounds.shape != (x.shape[-1], 2) or not (bounds[:, 0] < bounds[:, 1]).all():
        return f"box is {dataset.box}, not a lower and an upper bound of each coordinate"
    inside = ((x >= bounds[:, 0]) & (x <= bounds[:, 1])).all(-1).double().mean()
    return f"box has {inside:.0%} of the points in it" if inside < 0.5 else ""


def _points_fault(dataset: Any, streams: Streams) -> str:
    return foreign_draws(lambda own: dataset.sample(16, own), streams)


def _score_fault(dataset: Any, x: Tensor) -> str:
    """Compare with finite differences, as log_prob need not have a graph."""
    if not {"log_prob", "score"} <= {*dataset.knows}:
        return ""
    x = x[:, :_POINTS].detach()
    try:
        return _slope_fault(dataset, x.double(), _STEP)
    except Exception:  # of constants in the type of the data, which is all that a run needs
        return _slope_fault(dataset, x, 100 * _STEP)


def _slope_fault(dataset: Any, x: Tensor, step: float) -> str:
    along = Streams(0, len(x), x.device, ("directions",)).rademacher(*x.shape[1:], dtype=x.dtype)
    along = along * x.std((0, 1))
    ahead, behind = (dataset.log_prob(x + h * along) for h in (step, -step))
    expected = (ahead - behind) / (2 * step)
    found = (dataset.score(x) * along).flatten(2).sum(2)
    off = (found - expected).abs() > _TOLERANCE * (1 + expected.abs() + found.abs())
    if off.double().mean() < 0.5:  # single points may lie on both sides of a kink
        return ""
    r, i = off.nonzero()[0].tolist()
    return (
        f"along a direction the score is {found[r, i]:.4g} and log_prob changes by "
        f"{expected[r, i]:.4g}"
    )


def _entropy_fault(dataset: Any, x: Tensor) -> str:
    if "entropy" not in dataset.knows:
        return ""
    found = dataset.entropy()
    shape = getattr(found, "shape", ())
    numbers = Real | Tensor | np.ndarray
    if isinstance(found, bool) or not isinstance(found, numbers) or tuple(shape) != ():
        return f"entropy() returns {type(found).__name__}" + (f" of shape {shape}" if shape else "")
    if (isinstance(found, Tensor) and found.is_complex()) or not math.isfinite(found):
        return f"entropy() returns {found}"
    if "log_prob" not in dataset.knows:
        return ""
    entropy = float(found)
    x = x[:, :_MOST]
    try:
        own = -dataset.log_prob(x.double()).flatten().double()
    except Exception:  # as for the score
        own = -dataset.log_prob(x).flatten().double()
    distinct = len(x.flatten(0, 1).unique(dim=0))  # of points that may be drawn again
    error = (own.std() / distinct**0.5).item()
    if abs(own.mean().item() - entropy) < _ERRORS * error + 1e-3 * (1 + abs(entropy)):
        return ""
    return f"{own.mean():.4f} from samples and {entropy:.4f} from entropy()"


DENSITY = Contract(
    "datasets",
    "points of shape (R, n, *event_shape) in float32, log-densities of shape (...), in the type "
    "of the points",
    "A draw without the replicate axis (streams draw it), a box of other data, or a sum over the "
    "wrong axis: log_prob takes (..., *event_shape) and returns (...)",
    _density_fault,
)
POINTS = Contract(
    "datasets",
    "a replicate has the same points alone as among others, which have different points",
    "One draw for all replicates, or a generator of its own: draw from the streams",
    _points_fault,
)
SCORE = Contract(
    "datasets",
    "a score that is the gradient of log_prob",
    "A sign or a chain rule in score()",
    _score_fault,
)
ENTROPY = Contract(
    "datasets",
    "an entropy that is a number, and minus the mean log-density of samples",
    "sample() and log_prob() are of different densities (a variance for a standard deviation), or "
    "entropy() is wrong",
    _entropy_fault,
)
