"""Ranks of models on one dataset, and paired t tests with Holm's correction.

Replicate r of every method on a dataset sees the same draw of the data, so methods are compared
replicate by replicate. Comparisons over several datasets are in
`ebm_bench.report.statistics.friedman`.
"""

import numpy as np
import pandas as pd
from scipy import stats

from ebm_bench.report.statistics.intervals import ALPHA, FAILED, ROW, interval

# Of the values compared: a smaller difference is none.
ROUNDING = 1e-9
COMPARISONS = (
    "The p values of a table are corrected for all its pairs (Holm), so that one table in twenty "
    "has a difference that looks clear and is chance."
)


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
        Columns method, model, ``rank`` (1 is best; equal mean ranks share the better one, and
        models without any finite value the last), ``mean_rank``, ``best``, ``tied`` where several
        are, and ``reference``, best first.
    """
    table = _losses(values, higher_is_better)
    mean_rank = table.rank(na_option="bottom").mean(axis=1)
    ranked = pd.DataFrame({"rank": _places(table, mean_rank), "mean_rank": mean_rank}).sort_values(
        "mean_rank", kind="stable"
    )
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


def _losses(values: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Lay out models by replicates, lower being better and NaN what failed or is not finite."""
    usable = values["value"].astype(float).where(~values["status"].isin(FAILED))
    loss = -usable if higher_is_better else usable
    table = values.assign(loss=loss.where(np.isfinite(loss))).pivot(
        index=ROW, columns="replicate", values="loss"
    )
    given = table.reindex(pd.MultiIndex.from_frame(values[ROW].drop_duplicates()))
    # Equal mean ranks stand in this order: by the mean, then as in the suite.
    return given.loc[given.mean(axis=1).sort_values(kind="stable").index]


def _places(losses: pd.DataFrame, mean_rank: pd.Series) -> pd.Series:
    """Turn mean ranks into places."""
    measured = losses.notna().any(axis=1)
    return mean_rank.rank(method="min").where(measured, len(losses)).astype(int)


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
