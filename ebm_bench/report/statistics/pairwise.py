"""Ranks of models on one dataset, and paired t tests with Holm's correction.

Replicate r of every method on a dataset sees the same draw of the data, so methods are compared
replicate by replicate. Comparisons over several datasets are in
`ebm_bench.report.statistics.friedman`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ebm_bench.records import FAILED
from ebm_bench.report.statistics.intervals import ALPHA, ROW, quantile
from ebm_bench.report.statistics.scales import Scale, from_scale, on_scale

# Of the values compared: a smaller difference is none.
ROUNDING = 1e-9
POWER = 0.8  # with which the smallest detectable difference is found
DIFFERENCE = ["n", "difference", "low", "high", "p", "p_corrected"]
COMPARISONS = (
    "≈ and the p values of a table are corrected for its comparisons with the best (Holm), and "
    "no difference is significant where that of no pair is, corrected for all pairs, as p "
    "values of a table of pairs are. So about one table in twenty has a difference that looks "
    "clear and is chance."
)


@dataclass(frozen=True)
class Losses:
    """Values of models, the rows, in replicates, lower being better.

    Attributes
    ----------
    raw : DataFrame
        Values by (method, model); NaN for what failed or is not finite.
    scaled, errors : ndarray
        The same on the scale on which they are compared, and the evaluation's standard errors.
    sign : int
        −1 for a metric of which higher values are better.
    scale : {"linear", "log"}
    """

    raw: pd.DataFrame
    scaled: np.ndarray
    errors: np.ndarray
    sign: int
    scale: Scale

    def between(self, first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
        """Compare rows ``first`` with rows ``second``, in pairs, by the paired t test.

        Returns
        -------
        DataFrame
            The columns `DIFFERENCE` but the last, and ``error``, the standard error of the
            difference on the scale of comparison.
        """
        x, y = self.scaled[first], self.scaled[second]
        own = self.errors[first] ** 2 + self.errors[second] ** 2
        n, mean, error, p = _paired(x, y, own, relative=self.scale == "linear")
        width = np.array([quantile(max(k - 1, 1)) for k in n]) * error
        width[n < 2] = np.nan
        ends = [from_scale(self.sign * mean + side * width, self.scale) for side in (-1, 1)]
        difference = from_scale(self.sign * mean, self.scale)
        numbers = (n, difference, *ends, p, error)
        return pd.DataFrame(dict(zip([*DIFFERENCE[:-1], "error"], numbers, strict=True)))


def rank(values: pd.DataFrame, higher_is_better: bool, scale: Scale = "linear") -> pd.DataFrame:
    """Rank the models of one dataset by one metric.

    Within each replicate the models are ranked by their value; a replicate that failed, or
    whose value is not finite or missing, shares the last place. Models are then ordered by
    their mean rank over the replicates, so that one catastrophic replicate costs places and
    not the whole comparison.

    The reference is the first model that is finite in every replicate. A model is among the
    ``best`` unless it is ranked below the reference and significantly worse: by the paired t test,
    corrected for the comparisons with the reference (Holm), if any two models differ significantly
    by `compare`. No model with failures, and none with a single replicate, wins alone. A model
    without any finite value is not among the best.

    Parameters
    ----------
    values : DataFrame
        Columns method, model, replicate, status, value and standard_error of one dataset and
        metric; controls and by-products left out.
    higher_is_better : bool
        The direction of the metric.
    scale : {"linear", "log"}
        On which scale values are compared, see `scales.on_scale`.

    Returns
    -------
    DataFrame
        Columns method, model, ``rank`` (1 is best; equal mean ranks share the better one, and
        models without any finite value the last), ``mean_rank``, ``best``, ``tied`` where several
        are, and ``reference``, best first; and how each differs from the reference, as in
        `compare`.

    Notes
    -----
    The reference is chosen by the data, so Holm's correction alone would find something among
    thirteen equal methods in 9 to 15 % of tables; as it is, in 1 to 4 %
    (`benchmarks.comparisons`). Of what is worse by a factor of five it finds 72 % in five
    replicates, where a correction for all pairs finds 20 %.
    """
    losses = _losses(values, higher_is_better, scale)
    mean_rank = losses.raw.rank(na_option="bottom").mean(axis=1)
    ranked = pd.DataFrame({"rank": _places(losses.raw, mean_rank), "mean_rank": mean_rank})
    order = np.argsort(mean_rank.to_numpy(), kind="stable")
    whole = order[losses.raw.notna().all(axis=1).to_numpy()[order]]
    ranked["best"] = losses.raw.notna().any(axis=1)
    ranked["reference"] = np.isin(np.arange(len(order)), whole[:1])
    ranked[DIFFERENCE] = _from_reference(losses, whole[:1])
    if len(whole):
        below = ranked["rank"] > ranked["rank"].iloc[whole[0]]
        neutral = from_scale(0.0, scale)
        worse = losses.sign * (ranked["difference"] - neutral) > 0
        ranked["best"] &= ~(below & worse & (ranked["p_corrected"] < ALPHA))
    ranked["tied"] = ranked["best"] & (ranked["best"].sum() > 1)
    return ranked.iloc[order].reset_index()


def places(values: pd.DataFrame, higher_is_better: bool, scale: Scale = "linear") -> pd.DataFrame:
    """Rank the models within each replicate; see `rank`.

    Returns
    -------
    DataFrame
        Rows by (method, model), a column for each replicate.
    """
    return _losses(values, higher_is_better, scale).raw.rank(na_option="bottom")


def compare(values: pd.DataFrame, higher_is_better: bool, scale: Scale = "linear") -> pd.DataFrame:
    """Compare each two models of one dataset by one metric, replicate by replicate.

    A replicate counts where both are finite. A model that failed in a replicate
    where the other did not cannot win: such a pair has no p value. The standard errors that
    the evaluation itself reports add their variance to that of the differences.

    Parameters
    ----------
    values, higher_is_better, scale
        As for `rank`.

    Returns
    -------
    DataFrame
        Columns method, model, ``other_method``, ``other_model``, the one ranked better first;
        ``n``, the replicates that count; ``difference``, the mean of the first less the other
        in units of the metric, on the log scale the factor between them, with ``low`` and
        ``high`` of Student's t; ``p`` of the paired t test and ``p_corrected`` for all pairs of
        the table (Holm 1979), NaN where there is none; ``error``, the standard error of the
        difference on the scale of comparison; ``better``, whether the first is, at a corrected
        level of 5 %.
    """
    losses = _losses(values, higher_is_better, scale)
    names = list(losses.raw.index)
    places = losses.raw.rank(na_option="bottom").mean(axis=1).to_numpy()
    order = np.argsort(places, kind="stable")
    i, j = np.triu_indices(len(order), 1)
    first, second = order[i], order[j]
    found = losses.between(first, second)
    found.insert(5, "p_corrected", holm(found["p"].to_numpy()))
    ahead = losses.sign * (found["difference"] - from_scale(0.0, scale)) < 0
    found["better"] = (found["p_corrected"] < ALPHA) & ahead
    for place, (column, which) in enumerate([("", first), ("other_", second)]):
        for k, name in enumerate(ROW):
            found.insert(2 * place + k, f"{column}{name}", [names[row][k] for row in which])
    return found


def detectable(comparisons: pd.DataFrame, scale: Scale) -> float:
    """Find the smallest difference that a table of comparisons can detect.

    Parameters
    ----------
    comparisons : DataFrame
        Result of `compare`.
    scale : {"linear", "log"}
        On which scale they were made.

    Returns
    -------
    float
        Difference, on the log scale the factor, that the paired t test finds in 80 % of tables
        for a pair of median standard error, corrected for all pairs. NaN where there is none.
    """
    tested = comparisons[comparisons["p"].notna() & (comparisons["error"] > 0)]
    if tested.empty:
        return np.nan
    freedom = np.maximum(tested["n"].to_numpy() - 1, 1)
    critical = stats.t.isf(ALPHA / 2 / len(comparisons), freedom) + stats.t.ppf(POWER, freedom)
    return float(from_scale(np.median(critical * tested["error"]), scale))


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
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979,
    https://www.jstor.org/stable/4615733.
    """
    # By hand: statsmodels' multipletests calls gc.collect(), which takes longer than a report.
    known = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(known, kind="stable")
    raised = (len(p) - np.arange(len(p))) * known[order]
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return np.where(np.isnan(p), np.nan, corrected)


def _losses(values: pd.DataFrame, higher_is_better: bool, scale: Scale) -> Losses:
    sign = -1 if higher_is_better else 1
    failed = values["status"].isin(FAILED)
    x = values["value"].astype(float).mask(failed).to_numpy()
    scaled, errors, _ = on_scale(x, values["standard_error"].astype(float).to_numpy(), scale)
    raw = sign * np.where(np.isfinite(x), x, np.nan)
    table = values.assign(raw=raw, scaled=sign * scaled, errors=errors).pivot(
        index=ROW, columns="replicate", values=["raw", "scaled", "errors"]
    )
    given = table.astype(float).reindex(pd.MultiIndex.from_frame(values[ROW].drop_duplicates()))
    if given.empty:
        return Losses(
            pd.DataFrame(index=given.index), np.empty((0, 0)), np.empty((0, 0)), sign, scale
        )
    # Equal mean ranks stand in this order: by the mean, then as in the suite.
    given = given.loc[given["scaled"].mean(axis=1).sort_values(kind="stable").index]
    return Losses(given["raw"], given["scaled"].to_numpy(), given["errors"].to_numpy(), sign, scale)


def _places(losses: pd.DataFrame, mean_rank: pd.Series) -> pd.Series:
    """Turn mean ranks into places."""
    measured = losses.notna().any(axis=1)
    return mean_rank.rank(method="min").where(measured, len(losses)).astype(int)


def _from_reference(losses: Losses, reference: np.ndarray) -> np.ndarray:
    """Find the columns `DIFFERENCE` of each row less the reference; NaN where there is none."""
    models = len(losses.raw)
    found = np.full((models, len(DIFFERENCE)), np.nan)
    others = np.setdiff1d(np.arange(models), reference)
    if len(reference) and len(others):
        compared = losses.between(others, np.repeat(reference, len(others)))
        of_all = holm(losses.between(*np.triu_indices(models, 1))["p"].to_numpy())
        clearest = np.nan_to_num(of_all, nan=1.0).min()
        corrected = np.maximum(holm(compared["p"].to_numpy()), clearest)
        found[others, :-1], found[others, -1] = compared[DIFFERENCE[:-1]], corrected
    return found


def _paired(
    x: np.ndarray, y: np.ndarray, own: np.ndarray, relative: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make the paired t test of each row.

    Parameters
    ----------
    x, y : array of shape (m, R)
        Losses on the scale of comparison; NaN where there is none.
    own : array of shape (m, R)
        Variance of each difference that evaluation itself brings.
    relative : bool
        Whether rounding is relative to the values, rather than to 1.

    Returns
    -------
    n, mean, error, p : array of shape (m,)
        Replicates that count, mean difference, its standard error, and the p value, NaN where
        there is no answer.
    """
    difference = np.ma.masked_invalid(x - y)
    n, mean = difference.count(axis=1), difference.mean(axis=1).filled(np.nan)
    counted = np.maximum(n, 1)
    spread = difference.std(axis=1, ddof=1).filled(np.nan) / np.sqrt(counted)
    measured = np.where(difference.mask, 0.0, np.nan_to_num(own)).sum(axis=1) / counted**2
    error = np.hypot(spread, np.sqrt(measured))
    sizes = (np.abs(np.where(difference.mask, 0.0, z)) for z in (x, y))
    scale = np.maximum(*(size.max(axis=1, initial=0) for size in sizes)) if relative else 1.0
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
    return n, mean, error, np.where(unknown, np.nan, p)
