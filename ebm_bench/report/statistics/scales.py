"""The scale on which the values of a metric are compared and averaged.

Positive criteria, such as divergences, scatter by factors: a few large replicates decide the mean
and its interval. Their logarithms are compared instead (`benchmarks.comparisons` measures how often
either goes wrong).
"""

from typing import Literal

import numpy as np

Scale = Literal["linear", "log"]
# In units of the metric: what single precision resolves. Less counts as zero.
FLOOR = 1e-6


def on_scale(
    values: np.ndarray, errors: np.ndarray, scale: Scale
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write values on the scale on which they are compared.

    An estimate of a positive quantity cannot resolve what is below its own standard error, and may
    be negative: on the log scale such values count as the standard error, or as `FLOOR`.

    Parameters
    ----------
    values, errors : array
        Values, and the standard error that the evaluation itself reports of each, NaN where it
        reports none.
    scale : {"linear", "log"}
        As `Metric.scale` declares it.

    Returns
    -------
    values : array
        Values, or their logarithms; NaN where they are not finite.
    errors : array
        Standard errors on that scale; 0 where none is reported.
    at_floor : array of bool
        Whether a value is no larger than what the evaluation resolves.
    """
    x = np.where(np.isfinite(values), values, np.nan)
    error = np.where(np.isnan(errors), 0.0, errors)
    if scale == "linear":
        return x, error, np.zeros(x.shape, dtype=bool)
    floor = np.maximum(np.where(np.isfinite(error), error, 0.0), FLOOR)
    positive = np.maximum(x, floor)
    return np.log(positive), error / positive, x <= floor


def from_scale(x: np.ndarray | float, scale: Scale) -> np.ndarray | float:
    """Write a mean back in units of the metric; a difference on the log scale is a factor."""
    with np.errstate(over="ignore"):  # an end of an interval may be ∞
        return np.exp(x) if scale == "log" else x
