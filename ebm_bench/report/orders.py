"""Pairs of methods whose order depends on the budget at which they are compared."""

from collections import defaultdict
from dataclasses import dataclass

from ebm_bench.report.formatting import WORDS
from ebm_bench.report.results import Results
from ebm_bench.report.rows import label


@dataclass(frozen=True)
class Reversal:
    """Two methods of a dataset, each significantly better than the other at some budgets.

    Attributes
    ----------
    dataset, first, second : str
        Dataset, and the labels of the methods.
    first_at, second_at : tuple of str
        Budgets at which the first, and the second, is better.
    """

    dataset: str
    first: str
    second: str
    first_at: tuple[str, ...]
    second_at: tuple[str, ...]

    def __str__(self) -> str:
        first, second = (" and ".join(at) for at in (self.first_at, self.second_at))
        return f"{self.first} beats {self.second} {first}, {self.second} beats it {second}"


def reversals(views: list[Results]) -> list[Reversal]:
    """List the pairs of which each is significantly better at some budget.

    Parameters
    ----------
    views : list of Results
        As `budgets.at_all` gives them. A view whose criterion is not the metric of the learning
        curves, as can be at the end of training, is left out: its order can differ for that.
    """
    found = []
    for dataset, spec in views[0].suite.datasets.items():
        won: dict[tuple[str, str], list[str]] = defaultdict(list)
        for view in views:
            if view.suite.datasets[dataset].rank_by != spec.curve:
                continue
            at = f"at equal {WORDS[view.unit]}" if view.unit else "at the end of training"
            pairs = view.comparisons[dataset]
            for pair in pairs[pairs["better"]].to_dict("records"):
                names = (
                    label(pair["method"], pair["model"]),
                    label(pair["other_method"], pair["other_model"]),
                )
                won[names].append(at)
        found += [
            Reversal(dataset, one, other, tuple(at), tuple(won[other, one]))
            for (one, other), at in list(won.items())
            if one < other and won.get((other, one))
        ]
    return found
