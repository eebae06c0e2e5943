"""Whether methods differ over several datasets: Friedman's test, and Nemenyi's for each two.

Each dataset is one block, in which the models are ranked. Wilcoxon's signed ranks with Holm's
correction need many more datasets than suites have: ten methods on fewer than twelve datasets
could never differ significantly.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import stats

from ebm_bench.report.statistics.intervals import ALPHA, ROW

MODELS = 3  # fewer are no case for Friedman's test


@dataclass(frozen=True, eq=False)
class RankTests:
    """Friedman's and Nemenyi's tests over several datasets.

    Attributes
    ----------
    ranks : Series
        Average rank of each model, by (method, model), best first.
    datasets : int
        Number of datasets, the blocks of the test.
    statistic, p : float
        Statistic and p value of Friedman's test, corrected for ties.
    critical_difference : float
        Smallest significant difference of two average ranks, at 5 % for all pairs together.
    pairs : DataFrame
        p values of each two models by Nemenyi's test, all one where Friedman's test finds no
        difference.
    left_out : list of (method, model)
        Models that are ranked on some of the datasets only.
    """

    ranks: pd.Series
    datasets: int
    statistic: float
    p: float
    critical_difference: float
    pairs: pd.DataFrame
    left_out: list[tuple[str, str]]

    @property
    def decides(self) -> bool:
        """Whether there are enough datasets for any difference to be significant.

        If not, not even that of a model that is first everywhere from one that is last.
        """
        return self.critical_difference <= len(self.ranks) - 1

    def alike(self) -> list[tuple[str, str]]:
        """List the best of ``ranks``, then those that do not differ significantly from it."""
        best = self.ranks.index[0]
        others = self.ranks.index[1:]
        return [best, *(key for key in others if self.pairs.loc[best, key] >= ALPHA)]


def over_datasets(rankings: dict[str, pd.DataFrame]) -> RankTests | None:
    """Compare the models that are ranked on every dataset.

    A model that is missing on a dataset is left out, since there is no telling where it would
    have been; the others are ranked among themselves. One that failed there is not missing:
    it is ranked last.

    Parameters
    ----------
    rankings : dict of str to DataFrame
        Result of `pairwise.rank` for each dataset.

    Returns
    -------
    RankTests or None
        None for fewer than two datasets, or three models that are ranked on all of them.

    References
    ----------
    Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006,
    https://jmlr.org/papers/v7/demsar06a.html.
    """
    if len(rankings) < 2:
        return None
    table = pd.concat(
        {name: found.set_index(ROW)["mean_rank"] for name, found in rankings.items()}, axis=1
    )
    places = table.dropna().rank()
    models, datasets = places.shape
    if models < MODELS:
        return None
    ranks = places.mean(axis=1).sort_values(kind="stable")
    statistic, p = _friedman(places.to_numpy())
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(places.to_numpy().T)
    pairs.index = pairs.columns = places.index
    return RankTests(
        ranks=ranks,
        datasets=datasets,
        statistic=statistic,
        p=p,
        critical_difference=critical_difference(models, datasets),
        pairs=pairs if p < ALPHA else pairs * 0 + 1,
        left_out=list(table.index.difference(places.index)),
    )


def overall(
    rankings: dict[str, pd.DataFrame], counted: Collection[str] | None = None
) -> pd.DataFrame:
    """Unite the rankings of several datasets.

    Parameters
    ----------
    rankings : dict of str to DataFrame
        Result of `pairwise.rank` for each dataset.
    counted : collection of str, optional
        Datasets that enter the average; by default all.

    Returns
    -------
    DataFrame
        Columns method, model, the rank on each dataset (missing where there is none),
        ``datasets`` (on how many that count it is ranked) and ``average_rank`` over those,
        where models that tie on a dataset share the average of their places. Ordered by the
        number of datasets and then by average rank, so that missing ones never help.
    """
    ranks, places = (
        pd.concat(
            {name: of(found.set_index(ROW)) for name, found in rankings.items()}, axis=1
        ).reindex(columns=list(rankings))
        for of in (lambda found: found["rank"], lambda found: found["mean_rank"].rank())
    )
    # Equal average ranks stand in the order of the first dataset, not of the alphabet.
    order_of = dict.fromkeys(
        key for found in rankings.values() for key in zip(*map(found.get, ROW), strict=True)
    )
    ranks, places = (
        table.reindex(pd.MultiIndex.from_tuples(order_of, names=ROW)) if order_of else table
        for table in (ranks, places)
    )
    own = [name for name in rankings if counted is None or name in counted]
    united = ranks.assign(
        datasets=ranks[own].notna().sum(axis=1), average_rank=places[own].mean(axis=1)
    )
    order = ["datasets", "average_rank"]
    return united.sort_values(order, ascending=[False, True], kind="stable").reset_index()


@cache
def critical_difference(models: int, datasets: int) -> float:
    """Smallest difference of two average ranks that is significant in Nemenyi's test."""
    quantile = stats.studentized_range.ppf(1 - ALPHA, models, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(models * (models + 1) / (6 * datasets)))


def _friedman(places: np.ndarray) -> tuple[float, float]:
    """Test whether any of the models, the rows, differs; where all tie, none does."""
    if np.ptp(places) == 0:
        return 0.0, 1.0
    found = stats.friedmanchisquare(*places)
    return float(found.statistic), float(found.pvalue)
