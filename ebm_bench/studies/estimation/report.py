"""Estimates of known parameters, compared with large-sample theory: records, tables, report."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from ebm_bench import records
from ebm_bench.errors import InputError
from ebm_bench.report.columns import Column, Interval, Table
from ebm_bench.report.figures.style import SCREEN, paper
from ebm_bench.report.tables import formats
from ebm_bench.studies.estimation import claims, figures
from ebm_bench.studies.estimation.suite import RECORD, TABLE, EstimationSuite
from ebm_bench.utils.files import read_table

RESAMPLES = 2_000
ALONG = {"size": "N", "ratio": "ν"}


def build(suite: EstimationSuite, results: str | Path, venue: str | None = None) -> list[Path]:
    """Make the figures, the tables and the list of claims.

    Parameters
    ----------
    suite : EstimationSuite
        What was compared.
    results : path
        Folder of the suite's results, with ``runs``.
    venue : str, optional
        Draw the figures for a paper, in the folder ``paper``, instead of those for the screen.

    Returns
    -------
    list of Path
        Everything that was written, which without a venue is what `estimation_outputs`
        announces.
    """
    results = Path(results)
    estimates, theory = load(suite, results)
    summary = summarise(estimates, theory)
    tables = []
    for along in ALONG:
        table = variance_table(suite, summary, along)
        tables += formats.write(formats.texts(table), results, f"variance-{along}")
    found = claims.render(suite, claims.check(suite, summary, estimates))
    style = paper(venue) if venue else SCREEN
    drawn = figures.write(suite, summary, results, style)
    return [*tables, formats.save(found, results / "claims.md"), *drawn]


def load(suite: EstimationSuite, results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the estimates and the theory of all jobs.

    Raises
    ------
    InputError
        Where a job is missing, cannot be read, or belongs to another version, other sizes or other
        settings of the suite.
    """
    estimates, theory = [], []
    if not any(Path(results, "runs").glob(f"*/*/{RECORD}")):
        raise InputError(
            f"{results / 'runs'}: no estimates of suite {suite.name} are there yet; run "
            "`ebm-bench estimate` for each of its models, or `snakemake estimation`, first"
        )
    for model, method in suite.runs():
        folder = results / "runs" / model / method
        record: records.Estimation = records.read(records.Estimation, folder / RECORD)
        if (record.suite, record.suite_version) != (suite.name, suite.version):
            raise InputError(
                f"{folder / RECORD}: of suite {record.suite}, version {record.suite_version}; "
                f"this is {suite.name}, version {suite.version}. Run it again"
            )
        table = read_table(folder / TABLE, "run `ebm-bench estimate` again")
        cells = table.groupby(["size", "ratio"]).size().to_dict()
        if cells != dict.fromkeys(suite.grid(model, method), suite.data_sets):
            raise InputError(
                f"{folder / TABLE}: has other sizes, ratios or data sets than the suite; run "
                f"`ebm-bench estimate` for {method} on {model} again"
            )
        if record.settings not in ("", suite.settings(model, method)):
            raise InputError(
                f"{folder / RECORD}: of other settings than {method} on {model} has now; run "
                "`ebm-bench estimate` again"
            )
        estimates.append(table)
        rows = [row.model_dump() for row in record.theory]
        theory.append(pd.DataFrame(rows).assign(model=model, method=method))
    return pd.concat(estimates, ignore_index=True), pd.concat(theory, ignore_index=True)


def summarise(estimates: pd.DataFrame, theory: pd.DataFrame) -> pd.DataFrame:
    """Summarise the data sets of each model, method, size and ratio.

    A data set without an estimate counts as an infinite error, and makes the variance infinite.

    Returns
    -------
    DataFrame
        One row each: ``low``, ``median`` and ``high``, the .1, .5 and .9 quantiles of the
        squared error; ``n`` data sets, ``failed`` of them; ``variance``, N times the sum of the
        variances of all coordinates; ``variance_ratio`` to theory with the ends of its 95 %
        bootstrap interval, ``ratio_low`` and ``ratio_high``; and the values of theory, under
        ``theory_…``.
    """
    keys = ["model", "method", "size", "ratio"]
    renamed = {c: f"theory_{c}" for c in theory.columns if c not in keys}
    known = theory.rename(columns=renamed).set_index(keys)
    rows = []
    for key, group in estimates.groupby(keys, sort=False):
        error = group["error"].to_numpy()
        failed = int((~np.isfinite(error)).sum())
        # Not interpolated: between a number and infinity there is nothing.
        levels = np.quantile(error, [0.1, 0.5, 0.9], method="inverted_cdf")
        expected = known.loc[key]
        size = key[2]
        variance, ends = np.inf, (np.inf, np.inf)
        if not failed:
            values = np.stack(group["estimate"].to_list())
            variance, ends = total_variance(values, size)
        ratio = [v / expected["theory_variance"] for v in (variance, *ends)]
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                **dict(zip(("low", "median", "high"), levels, strict=True)),
                "n": len(error),
                "failed": failed,
                "variance": variance,
                **dict(zip(("variance_ratio", "ratio_low", "ratio_high"), ratio, strict=True)),
                **expected.to_dict(),
            }
        )
    return pd.DataFrame(rows)


def total_variance(values: np.ndarray, size: int) -> tuple[float, tuple[float, float]]:
    """Find N times the sum of the variances of all coordinates, with a bootstrap interval.

    Parameters
    ----------
    values : array of shape (n, k)
        Estimates, a row for each data set.
    size : int
        N.

    Returns
    -------
    variance : float
        Unbiased.
    ends : tuple of float
        95 % interval of 2,000 resamples of the data sets, bias-corrected and accelerated
        (Efron 1987), the same in each call; both the variance where it is zero.
        Percentiles would cover the variance of 100 normal estimates in 92 % only.
    """
    count = len(values)
    centred = values - values.mean(0)
    gram = centred @ centred.T
    squares = gram.diagonal()
    if not squares.any():
        return 0.0, (0.0, 0.0)

    def variance(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        drawn = rows.shape[axis]
        flat = rows.reshape(-1, drawn)
        place = count * np.arange(len(flat))[:, None] + flat
        weights = np.bincount(place.ravel(), minlength=count * len(flat)).reshape(-1, count) / drawn
        # Of resampled rows: mean square less the square of the mean.
        spread = weights @ squares - ((weights @ gram) * weights).sum(1)
        return (size * drawn / (drawn - 1) * spread).reshape(rows.shape[:-1])

    rows = np.arange(count)
    found = bootstrap(
        (rows,), variance, vectorized=True, n_resamples=RESAMPLES, method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(variance(rows)), (float(found.low), float(found.high))


def variance_table(suite: EstimationSuite, summary: pd.DataFrame, along: str) -> Table:
    """Make the table of measured over theoretical variance.

    Parameters
    ----------
    suite : EstimationSuite
        What was compared.
    summary : DataFrame
        As `summarise` gives it.
    along : str
        What has a column for each of its values: ``"size"`` or ``"ratio"``.
    """
    chosen = summary[_selected(suite, summary, along)]
    found = {key: one.set_index(along) for key, one in chosen.groupby(["model", "method"])}
    steps = sorted(chosen[along].unique())
    columns = [
        Column("model", "Model", lambda key: key[0]),
        Column("method", "Method", lambda key: key[1]),
        *(Column(str(x), f"{ALONG[along]} = {x}", partial(_variance, found, x)) for x in steps),
    ]
    return Table(
        columns,
        [key for key in itertools.product(suite.models, suite.methods) if key in found],
        variance_caption(suite, along, summary),
        f"tab:{suite.name}-{along}",
        chosen,
        keys=2,
    )


def variance_caption(suite: EstimationSuite, along: str, summary: pd.DataFrame) -> str:
    """Describe what a table of variances shows."""
    shown = summary[_selected(suite, summary, along)]
    errors = 100 * shown["theory_error"] / shown["theory_variance"]
    own = {m: s.ratio for m, s in suite.methods.items() if s.ratio}
    others = "".join(f" ({m}: {ratio})" for m, ratio in own.items())
    held = f"N = {suite.size}" if along == "ratio" else f"ν = {suite.ratio}{others}"
    return (
        f"Measured over theoretical variance of the estimates, at {held}: the sum of the variances "
        f"of all coordinates over {suite.data_sets} data sets, over that of the sandwich "
        "covariance. In brackets: 95 % bootstrap interval over data sets (BCa), without the noise "
        "of the theory, whose variances are means over samples (standard error: "
        f"{errors.median():.1f} % in the median, {errors.max():.1f} % at most). A data set without "
        "a finite or converged estimate makes the variance infinite, and their number is given."
    )


def _selected(suite: EstimationSuite, summary: pd.DataFrame, along: str) -> pd.Series:
    if along == "ratio":
        varied = [m for m, spec in suite.methods.items() if spec.varies]
        return (summary["size"] == suite.size) & summary["method"].isin(varied)
    return summary["ratio"] == summary["method"].map(suite.ratio_of)


def _variance(
    found: dict[tuple[str, str], pd.DataFrame], step: int, key: tuple[str, str]
) -> Interval | None:
    if step not in found[key].index:
        return None
    row = found[key].loc[step]
    if row["failed"]:
        return Interval(np.inf, np.nan, np.nan, note=f"{row['failed']} of {row['n']} failed")
    return Interval(row["variance_ratio"], row["ratio_low"], row["ratio_high"])
