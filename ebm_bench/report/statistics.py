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
FEW = 10  # values: below, a bootstrap interval is far too short
INTERVAL = (
    f"95 % interval of the mean over replicates (Student t below {FEW} values, percentile "
    "bootstrap from there on)"
)
COMPARISONS = (
    "Many comparisons are made, each of which errs up to one time in twenty: expect some "
    "differences that look clear and are chance."
)


def interval(x: np.ndarray) -> tuple[float, float]:
    """Find a 95 % interval of the mean.

    Parameters
    ----------
    x : array of shape (n,)
        Finite values of independent replicates.

    Returns
    -------
    low, high : float
        Of Student's t for fewer than ten values, where resampling cannot show how far the
        mean may be off; else the percentile interval of 9,999 resamples, the same whenever
        it is asked for (Efron 1979). Both NaN for fewer than two values; both the value
        where all are equal.
    """
    if len(x) < 2:
        return np.nan, np.nan
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    if len(x) < FEW:
        low, high = stats.t.interval(LEVEL, len(x) - 1, np.mean(x), stats.sem(x))
        return float(low), float(high)
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
        status, value and standard_error.

    Returns
    -------
    DataFrame
        One row per dataset, method, model and metric: ``mean``, ``median``, ``low`` and
        ``high`` (see `interval`) over the finite values of replicates that did not fail,
        their number ``n``, the number ``failed``, and the number ``not_finite`` among those
        that did not fail; ``standard_error`` is the mean of what the metric itself says of
        these values, NaN where it says nothing.
    """
    columns = ["mean", "median", "low", "high", "standard_error", "n", "failed", "not_finite"]
    keys = ["dataset", *ROW, "metric"]
    found = []
    for key, group in values.groupby(keys, sort=False):
        failed = group["status"].isin(FAILED).to_numpy()
        measured = group["value"].to_numpy(float)[~failed]
        finite = measured[np.isfinite(measured)]
        mean, median = (finite.mean(), np.median(finite)) if len(finite) else (np.nan, np.nan)
        error = group["standard_error"].astype(float)[~failed].mean()
        counts = (len(finite), failed.sum(), len(measured) - len(finite))
        found.append((*key, mean, median, *interval(finite), error, *map(int, counts)))
    return pd.DataFrame(found, columns=[*keys, *columns])


def rank(values: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Rank the models of one dataset by one metric.

    Within each replicate the models are ranked by their value; a replicate that failed, or
    whose value is not finite or missing, shares the last place. Models are then ordered by
    their mean rank over the replicates, so that one catastrophic replicate costs places and
    not the whole comparison.

    The reference is the first model that is finite in every replicate. A model is among the
    ``best`` unless it is ranked below the reference and the interval of its mean paired
    difference to it says that it is worse. Where fewer than two replicates are finite in
    both there is no such interval, and so no model with failures, and none with a single
    replicate, wins alone. A model without any finite value is not among the best.

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
        ``mean_rank``, ``best``, and ``tied`` where several are, best first.
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
    table = table.loc[ranked.index]
    whole = table.dropna()
    ranked["best"] = table.notna().any(axis=1)
    if len(whole):
        below = ranked["rank"] > ranked.loc[whole.index[0], "rank"]
        ranked["best"] &= ~(below & _worse(table - whole.iloc[0]))
    ranked["tied"] = ranked["best"] & (ranked["best"].sum() > 1)
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
        ``datasets`` (on how many it is ranked) and ``average_rank`` over those. Ordered by
        the number of datasets and then by average rank, so that missing ones never help.
    """
    ranks = pd.concat(
        {name: found.set_index(ROW)["rank"] for name, found in rankings.items()}, axis=1
    ).reindex(columns=list(rankings))
    united = ranks.assign(datasets=ranks.notna().sum(axis=1), average_rank=ranks.mean(axis=1))
    order = ["datasets", "average_rank"]
    return united.sort_values(order, ascending=[False, True]).reset_index()


def caution(replicates: int) -> str:
    """Say in one sentence how far so few replicates can be trusted; empty where they suffice."""
    if replicates == 1:
        return "One replicate: there is no interval, and no difference can be told from chance."
    if replicates < FEW:
        return (
            f"With {replicates} replicates the intervals are wide, and hold as far as replicates "
            "scatter like a normal distribution, which so few cannot show."
        )
    return ""


def _worse(differences: pd.DataFrame) -> np.ndarray:
    """Whether each row of losses, less those of the reference, is above zero on average."""
    return np.array([interval(row[np.isfinite(row)])[0] > 0 for row in differences.to_numpy()])
