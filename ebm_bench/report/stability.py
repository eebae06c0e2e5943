"""Whether other replicates would give the same overall ranking."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

FEWEST = 4  # replicates: halves of one replicate each would compare two draws of noise


@dataclass(frozen=True)
class Stability:
    """Kendall's τ of the overall ranking between two halves of the replicates.

    Attributes
    ----------
    tau : float
        Kendall's τ-b of the average ranks; NaN where all tie.
    halves : tuple of str
        The replicates of each half, such as ``"0–9"``.
    """

    tau: float
    halves: tuple[str, str]

    def __str__(self) -> str:
        value = "is not defined" if np.isnan(self.tau) else f"= {self.tau:.2f}"
        first, second = self.halves
        return f"Kendall's τ of average ranks between replicates {first} and {second} {value}."


def between_halves(places: dict[str, pd.DataFrame]) -> Stability | None:
    """Compare the overall rankings of the first and the second half of the replicates.

    Parameters
    ----------
    places : dict of str to DataFrame
        Result of `pairwise.places` for each dataset.

    Returns
    -------
    Stability or None
        Over the datasets with at least four replicates; None where there is none, or fewer than two
        methods are ranked on them.
    """
    averages: tuple[list, list] = [], []
    spans: tuple[dict, dict] = {}, {}
    for found in places.values():
        replicates = sorted(found.columns)
        if len(replicates) < FEWEST:
            continue
        middle = len(replicates) // 2
        for k, half in enumerate((replicates[:middle], replicates[middle:])):
            averages[k].append(found[half].mean(axis=1).rank())
            spans[k][f"{half[0]}–{half[-1]}"] = None
    if not spans[0]:
        return None
    first, second = (pd.concat(each, axis=1).mean(axis=1) for each in averages)
    if len(first) < 2:
        return None
    tau = float(stats.kendalltau(first, second).statistic)
    return Stability(tau, (" or ".join(spans[0]), " or ".join(spans[1])))
