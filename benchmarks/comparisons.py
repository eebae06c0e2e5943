"""How often comparisons find what is not there, and intervals miss what they are to cover.

``python -m benchmarks.comparisons`` simulates tables of equal methods whose replicates are skewed
and scatter unequally, and prints for each candidate the share of tables with any false finding
among all pairs, and with any method marked as worse than the best; then the coverage of candidate
intervals. What the reports use was chosen by it: the t test on logarithms, Holm's correction for
the comparisons with the best behind that of the clearest pair, and t on the log scale.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from ebm_bench.report.statistics import intervals, pairwise

METHODS = 13
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _unequal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Log-normal values of equal median with standard deviations of the logarithm from .1 to 2."""
    return np.exp(np.linspace(0.1, 2, METHODS)[:, None] * rng.standard_normal((METHODS, n)))


def _equal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Log-normal values, alike for all methods, with luck that all of them share."""
    luck = 0.7 * rng.standard_normal(n)
    return np.exp(luck + 0.5 * rng.standard_normal((METHODS, n)))


def _one_blows_up(rng: np.random.Generator, n: int) -> np.ndarray:
    """Twelve tight methods, and one that blows up a hundredfold in a tenth of its replicates."""
    x = np.exp(0.1 * rng.standard_normal((METHODS, n)))
    x[0] *= np.where(rng.random(n) < 0.1, 100, 1)
    return x


def _all_blow_up(rng: np.random.Generator, n: int) -> np.ndarray:
    """Methods of unequal spread that all blow up in a tenth of their replicates."""
    x = np.exp(np.linspace(0.1, 1, METHODS)[:, None] * rng.standard_normal((METHODS, n)))
    return x * np.where(rng.random(x.shape) < 0.1, 100, 1)


def _equal_means(rng: np.random.Generator, n: int) -> np.ndarray:
    """Log-normal values of equal mean: a false finding only for what compares means."""
    s = np.linspace(0.1, 1.5, METHODS)[:, None]
    return np.exp(s * rng.standard_normal((METHODS, n)) - s**2 / 2)


SCENES: dict[str, Draw] = {
    "unequal spreads": _unequal,
    "equal spreads": _equal,
    "one blows up": _one_blows_up,
    "all blow up": _all_blow_up,
    "equal means": _equal_means,
}
TESTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "paired t": lambda x, y: stats.ttest_rel(x, y, axis=1).pvalue,
    "paired t of logarithms": lambda x, y: stats.ttest_rel(np.log(x), np.log(y), axis=1).pvalue,
    "Welch's t of logarithms": lambda x, y: (
        stats.ttest_ind(np.log(x), np.log(y), axis=1, equal_var=False).pvalue
    ),
    "sign flips of log ratios": lambda x, y: _sign_flips(np.log(x) - np.log(y)),
    "Wilcoxon": lambda x, y: stats.wilcoxon(np.log(x), np.log(y), axis=1).pvalue,
}
INTERVALS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    "mean, t": intervals.student,
    "mean, bootstrap": lambda x: _bootstrap(x),
    "geometric mean, t on the log scale": lambda x: tuple(np.exp(intervals.student(np.log(x)))),
    "median, order statistics": lambda x: _order_statistics(x),
}


def table(x: np.ndarray, errors: float = np.nan) -> pd.DataFrame:
    """Lay out values of shape (methods, replicates) as records of a metric."""
    method, replicate = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame(
        {
            "method": [f"m{i:02}" for i in method],
            "model": "energy",
            "replicate": replicate,
            "status": "ok",
            "value": x.ravel(),
            "standard_error": errors,
        }
    )


def marked_wrongly(draw: Draw, n: int, tables: int, seed: int = 0) -> tuple[float, float]:
    """Share of tables of the reports with a false finding among pairs, and a false mark."""
    rng = np.random.default_rng(seed)
    found = np.empty((tables, 2))
    for k in range(tables):
        values = table(draw(rng, n))
        found[k, 0] = pairwise.compare(values, False, "log")["better"].any()
        found[k, 1] = not pairwise.rank(values, False, "log")["best"].all()
    pairs, marks = found.mean(0)
    return float(pairs), float(marks)


def false_findings(name: str, draw: Draw, n: int, tables: int, seed: int = 0) -> float:
    """Share of tables in which a candidate test, corrected for all pairs, finds a difference."""
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(METHODS, 1)
    draws = (draw(rng, n) for _ in range(tables))
    return float(np.mean([pairwise.holm(TESTS[name](x[i], x[j])).min() < 0.05 for x in draws]))


def coverage(name: str, sd: float, n: int, samples: int, seed: int = 0) -> float:
    """Share of samples of log-normal values whose interval covers what it is to cover."""
    rng = np.random.default_rng(seed)
    truth = np.exp(sd**2 / 2) if name.startswith("mean") else 1.0
    found = [INTERVALS[name](np.exp(sd * rng.standard_normal(n))) for _ in range(samples)]
    return float(np.mean([low <= truth <= high for low, high in found]))


def _sign_flips(d: np.ndarray) -> np.ndarray:
    """Test by permutation: all changes of sign for few replicates, else a thousand of them."""
    n = d.shape[1]
    signs = np.array(np.meshgrid(*[[1, -1]] * n)).reshape(n, -1) if n <= 10 else (
        np.random.default_rng(0).choice([-1, 1], (n, 1000))
    )  # fmt: skip
    beyond = np.abs(d @ signs) >= np.abs(d.sum(1))[:, None] * (1 - 1e-9)
    return beyond.mean(1) if n <= 10 else (beyond.sum(1) + 1) / 1001


def _bootstrap(x: np.ndarray) -> tuple[float, float]:
    found = stats.bootstrap((x,), np.mean, n_resamples=300, rng=np.random.default_rng(0))
    return found.confidence_interval


def _order_statistics(x: np.ndarray) -> tuple[float, float]:
    """Interval of the median, as wide as it takes for 95 %, or as wide as the values are."""
    k = int(max(stats.binom.ppf(0.025, len(x), 0.5), 1)) - 1
    x = np.sort(x)
    return x[k], x[-1 - k]


def main() -> None:
    """Print the tables."""
    rows = [
        {"values": scene, "n": n, **{t: false_findings(t, draw, n, 60) for t in TESTS}}
        | dict(zip(("as reported: pairs", "marks"), marked_wrongly(draw, n, 200), strict=True))
        for scene, draw in SCENES.items()
        for n in (5, 20)
    ]
    print("Share of tables with a false finding\n")
    print(pd.DataFrame(rows).to_markdown(index=False), "\n")
    rows = [
        {"sd": sd, "n": n, **{name: coverage(name, sd, n, 300) for name in INTERVALS}}
        for sd in (0.1, 0.5, 1.0, 1.5, 2.0)
        for n in (5, 20)
    ]
    print("Share of 95 % intervals that cover\n")
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
