"""Means with intervals, failures, ranks and ties of replicated measurements.

A replicate that diverged or ran out of memory has failed; one that ran into the time limit
is measured as it is. Replicate r of every method on a dataset sees the same draw of the
data, so that methods are compared replicate by replicate. How methods compare over several
datasets is tested in `ebm_bench.report.statistics.friedman`.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

FAILED = ("diverged", "out_of_memory")
LEVEL = 0.95
ALPHA = 1 - LEVEL
ROW = ["method", "model"]
FEW = 30  # values: below, resampling covers the mean less often than Student's t does
INTERVAL = (
    f"95 % interval of the mean over replicates (Student t below {FEW} values, BCa bootstrap "
    "from there on)"
)
# Of the values compared: a smaller difference is none.
ROUNDING = 1e-9
COMPARISONS = (
    "The p values of a table are corrected for all its pairs (Holm), so that one table in twenty "
    "has a difference that looks clear and is chance."
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
        Of Student's t for fewer than thirty values; else the bias-corrected and accelerated
        interval of 9,999 resamples, the same whenever it is asked for (Efron 1987). Both NaN
        for fewer than two values; both the value where all are equal.

    Notes
    -----
    Of 600 samples of 3, 10, 20, 30 and 100 normal values, Student's t covers the mean in 96,
    96, 94, 95 and 95 %, BCa in 70, 91, 91, 94 and 95 %, percentiles like BCa. Of log-normal
    values the shares are 84, 85, 86, 89 and 93 % and 64, 84, 86, 90 and 93 %: few skewed values
    do not show their skew, and no method makes up for it.
    """
    if len(x) < 2:
        return np.nan, np.nan
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    if len(x) < FEW:
        mean, width = np.mean(x), _quantile(len(x) - 1) * np.std(x, ddof=1) / np.sqrt(len(x))
        return float(mean - width), float(mean + width)
    found = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=9_999,
        confidence_level=LEVEL,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Summarise the replicates of each metric.

    Parameters
    ----------
    values : DataFrame
        As `collecting.collect` gives it: columns dataset, method, model, metric, replicate,
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
    ``best`` unless it is ranked below the reference and `compare` tells it to be worse. No
    model with failures, and none with a single replicate, wins alone. A model without any
    finite value is not among the best.

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
        ``mean_rank``, ``best``, ``tied`` where several are, and ``reference``, best first.
    """
    table = _losses(values, higher_is_better)
    mean_rank = table.rank(na_option="bottom").mean(axis=1)
    ranked = pd.DataFrame(
        {"rank": mean_rank.rank(method="min").astype(int), "mean_rank": mean_rank}
    ).sort_values("mean_rank", kind="stable")
    table = table.loc[ranked.index]
    ranked["best"] = table.notna().any(axis=1)
    whole = table.notna().all(axis=1).to_numpy()
    reference = np.arange(len(table)) == (whole.argmax() if whole.any() else -1)
    if whole.any():
        at = whole.argmax()
        below = ranked["rank"] > ranked["rank"].iloc[at]
        worse = table.sub(table.iloc[at]).mean(axis=1) > 0
        ranked["best"] &= ~(below & worse & (_p_values(table)[1][at] < ALPHA))
    ranked["tied"] = ranked["best"] & (ranked["best"].sum() > 1)
    ranked["reference"] = reference
    return ranked.reset_index()


def compare(values: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Compare each two models of one dataset by one metric, replicate by replicate.

    A replicate counts where both are finite. Nothing is said in favour of a model that failed
    in a replicate where the other did not: such a pair has no p value.

    Parameters
    ----------
    values, higher_is_better
        As for `rank`.

    Returns
    -------
    DataFrame
        Columns method, model, ``other_method``, ``other_model``, the one ranked better first;
        ``n``, the replicates that count; ``difference``, the mean of the first less the other
        in units of the metric, with ``low`` and ``high`` (see `interval`); ``p`` of the paired
        t test and ``p_corrected`` for all pairs of the table (Holm 1979), NaN where there is
        none; ``better``, whether the first is, at a corrected level of 5 %.
    """
    order = list(rank(values, higher_is_better)[ROW].itertuples(index=False, name=None))
    losses = _losses(values, higher_is_better).reindex(order)
    plain, corrected = _p_values(losses)
    sign = -1 if higher_is_better else 1
    measured, found = sign * losses.to_numpy(), []
    for i, j in zip(*np.triu_indices(len(order), 1), strict=True):
        x = measured[i] - measured[j]
        x = x[np.isfinite(x)]
        mean = x.mean() if len(x) else np.nan
        better = corrected[i, j] < ALPHA and sign * mean < 0
        numbers = (len(x), mean, *interval(x), plain[i, j], corrected[i, j], better)
        found.append((*order[i], *order[j], *numbers))
    other = [f"other_{name}" for name in ROW]
    columns = ["n", "difference", "low", "high", "p", "p_corrected", "better"]
    return pd.DataFrame(found, columns=[*ROW, *other, *columns])


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p values so that the chance of any false finding among them stays at the level.

    Parameters
    ----------
    p : array of shape (m,)
        Of the single tests; NaN where one could not be made, which counts as no finding.

    Returns
    -------
    array of shape (m,)
        NaN where there was none.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.
    """
    # By hand: statsmodels' multipletests calls gc.collect(), which takes longer than a report.
    known = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(known, kind="stable")
    raised = (len(p) - np.arange(len(p))) * known[order]
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return np.where(np.isnan(p), np.nan, corrected)


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
        ``datasets`` (on how many it is ranked) and ``average_rank`` over those, where models
        that tie on a dataset share the average of their places. Ordered by the number of
        datasets and then by average rank, so that missing ones never help.
    """
    ranks, places = (
        pd.concat(
            {name: of(found.set_index(ROW)) for name, found in rankings.items()}, axis=1
        ).reindex(columns=list(rankings))
        for of in (lambda found: found["rank"], lambda found: found["mean_rank"].rank())
    )
    united = ranks.assign(datasets=ranks.notna().sum(axis=1), average_rank=places.mean(axis=1))
    order = ["datasets", "average_rank"]
    return united.sort_values(order, ascending=[False, True]).reset_index()


def caution(replicates: int) -> str:
    """State how far so few replicates can be trusted; empty where they suffice."""
    if replicates == 1:
        return "One replicate: there is no interval, and no difference can be told from chance."
    if replicates < FEW:
        return (
            f"With {replicates} replicates the intervals hold as far as replicates scatter like "
            "a normal distribution, which so few cannot show, and only large differences can be "
            "told from chance."
        )
    return ""


@cache
def _quantile(freedom: int) -> float:
    """Find the quantile of Student's t that bounds an interval."""
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _losses(values: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Lay out models by replicates, lower being better and NaN what failed or is not finite."""
    usable = values["value"].astype(float).where(~values["status"].isin(FAILED))
    loss = -usable if higher_is_better else usable
    return (
        values.assign(loss=loss.where(np.isfinite(loss)))
        .pivot(index=ROW, columns="replicate", values="loss")
        .sort_index()
    )


def _p_values(losses: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Test each two models, see `compare`; p values as they are and corrected for all pairs."""
    x = losses.to_numpy()
    first, second = np.triu_indices(len(x), 1)
    found = _paired(x[first], x[second])
    matrices = np.full((2, len(x), len(x)), np.nan)
    matrices[:, first, second] = matrices[:, second, first] = found, holm(found)
    return matrices[0], matrices[1]


def _paired(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Find the p value of the paired t test of each row; NaN where nothing can be said."""
    difference = np.ma.masked_invalid(x - y)
    n, mean = difference.count(axis=1), difference.mean(axis=1).filled(np.nan)
    error = difference.std(axis=1, ddof=1).filled(np.nan) / np.sqrt(np.maximum(n, 1))
    sizes = (np.abs(np.nan_to_num(z, nan=0, posinf=0, neginf=0)) for z in (x, y))
    scale = np.maximum(*(size.max(axis=1, initial=0) for size in sizes))
    tie, constant = np.abs(mean) <= ROUNDING * scale, error <= ROUNDING * scale
    # Where all differences are equal, the mean is certain.
    t = np.divide(mean, error, out=np.full(len(mean), np.inf), where=~constant)
    t = np.where(tie, 0.0, t)
    p = 2 * stats.t.sf(np.abs(t), np.maximum(n - 1, 1))
    x_alone = (np.isfinite(x) & np.isnan(y)).any(axis=1)
    y_alone = (np.isfinite(y) & np.isnan(x)).any(axis=1)
    unfair = np.where(mean < 0, y_alone, x_alone)  # the favoured one failed by itself
    # Two equal differences are no measure of their scatter.
    unknown = (n < 2) | ((n < 3) & constant & ~tie) | unfair
    return np.where(unknown, np.nan, p)
