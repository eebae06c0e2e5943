"""Means with intervals, failures, ranks and ties of replicated measurements.

A replicate that diverged or ran out of memory has failed; one that ran into the time limit
is measured as it is. Replicate r of every method on a dataset sees the same draw of the
data, so that methods are compared replicate by replicate.
"""

import numpy as np
import pandas as pd
from scipy import stats

FAILED = ("diverged", "out_of_memory")
LEVEL = 0.95
ROW = ["method", "model"]
INTERVAL = "95 % percentile bootstrap interval of the mean over replicates"


def interval(x: np.ndarray) -> tuple[float, float]:
    """Bootstrap an interval of the mean.

    Parameters
    ----------
    x : array of shape (n,)
        Finite values of independent replicates.

    Returns
    -------
    low, high : float
        95 % percentile interval from 9,999 resamples, the same whenever it is asked for
        (Efron 1979). Both NaN for fewer than two values; both the value where all are equal.
    """
    if len(x) < 2:
        return np.nan, np.nan
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    found = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=9_999,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Summarise the replicates of each metric.

    Parameters
    ----------
    values : DataFrame
        As `records.collect` gives it: columns dataset, method, model, metric, replicate,
        status and value.

    Returns
    -------
    DataFrame
        One row per dataset, method, model and metric: ``mean``, ``median``, ``low`` and
        ``high`` (see `interval`) over the finite values of replicates that did not fail,
        their number ``n``, the number ``failed``, and the number ``not_finite`` among those
        that did not fail.
    """
    columns = ["mean", "median", "low", "high", "n", "failed", "not_finite"]
    keys = ["dataset", *ROW, "metric"]
    found = []
    for key, group in values.groupby(keys, sort=False):
        failed = group["status"].isin(FAILED).to_numpy()
        measured = group["value"].to_numpy(float)[~failed]
        finite = measured[np.isfinite(measured)]
        mean, median = (finite.mean(), np.median(finite)) if len(finite) else (np.nan, np.nan)
        counts = (len(finite), failed.sum(), len(measured) - len(finite))
        found.append((*key, mean, median, *interval(finite), *map(int, counts)))
    return pd.DataFrame(found, columns=[*keys, *columns])


def rank(values: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Rank the models of one dataset by one metric.

    Within each replicate the models are ranked by their value; a replicate that failed, or
    whose value is not finite or missing, shares the last place. Models are then ordered by
    their mean rank over the replicates, so that one catastrophic replicate costs places and
    not the whole comparison.

    A model is ``tied`` with the best where the interval of the mean paired difference to it
    contains zero. This needs at least two replicates, all of them finite in both.

    Parameters
    ----------
    values : DataFrame
        Columns method, model, replicate, status and value of one dataset and metric;
        controls left out.
    higher_is_better : bool
        The direction of the metric.

    Returns
    -------
    DataFrame
        Columns method, model, ``rank`` (1 is best; equal mean ranks share the better one),
        ``mean_rank`` and ``tied``, best first.
    """
    usable = values["value"].astype(float).where(~values["status"].isin(FAILED))
    loss = -usable if higher_is_better else usable
    table = (
        values.assign(loss=loss.where(np.isfinite(loss)))
        .pivot(index=ROW, columns="replicate", values="loss")
        .sort_index()
    )
    mean_rank = table.rank(na_option="bottom").mean(axis=1)
    ranked = pd.DataFrame(
        {"rank": mean_rank.rank(method="min").astype(int), "mean_rank": mean_rank}
    ).sort_values("mean_rank", kind="stable")
    best = table.loc[ranked.index[0]] if len(ranked) else None
    ranked["tied"] = [
        index != ranked.index[0] and _equals(table.loc[index] - best) for index in ranked.index
    ]
    if ranked["tied"].any():
        ranked.loc[ranked.index[0], "tied"] = True
    return ranked.reset_index()


def overall(rankings: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Unite the rankings of several datasets.

    Parameters
    ----------
    rankings : dict of str to DataFrame
        What `rank` gave for each dataset.

    Returns
    -------
    DataFrame
        Columns method, model, the rank on each dataset (missing where there is none),
        ``datasets`` (on how many it is ranked) and ``average_rank`` over those, best first.
    """
    ranks = pd.concat(
        {name: found.set_index(ROW)["rank"] for name, found in rankings.items()}, axis=1
    ).reindex(columns=list(rankings))
    united = ranks.assign(datasets=ranks.notna().sum(axis=1), average_rank=ranks.mean(axis=1))
    return united.sort_values("average_rank", kind="stable").reset_index()


def caution(replicates: int) -> str:
    """Say in one sentence how far so few replicates can be trusted; empty for six or more.

    The chance that all paired differences of two equally good methods have one sign is
    2^(1−n); the interval then leaves out zero.
    """
    if replicates == 1:
        return "One replicate: there is no interval, and no difference can be told from chance."
    if replicates < 6:
        return (
            f"With {replicates} replicates the intervals are too narrow: two equally good methods "
            f"look different at least one time in {2 ** (replicates - 1)}."
        )
    return ""


def _equals(difference: pd.Series) -> bool:
    """Whether the mean paired difference may be zero."""
    if difference.isna().any():
        return False
    low, high = interval(difference.to_numpy())
    return bool(low <= 0 <= high)
