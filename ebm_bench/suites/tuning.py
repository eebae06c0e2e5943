"""Search space of tuning, and the file of tuned values.

Nothing here imports torch.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from ebm_bench.suites.base import Strict

# Metric of the learning curves of trials, which are not used: the cheapest one.
TRIAL_CURVE = "hyvarinen_score"

Rate = Annotated[float, Gt(0)]


class Tuning(Strict):
    """How ``ebm-bench tune`` searches: the same for every method.

    Attributes
    ----------
    datasets : dict of str to list of str
        Datasets to tune on, each with further datasets that use its tuned values.
    trials : int
        Number of trials per method; at most the number of learning rates, so that no method
        tries one twice.
    steps : int
        Number of optimiser steps per trial.
    replicates : int
        Number of models per trial, scored by a high quantile.
    learning_rates : tuple of float
        Candidate learning rates.
    """

    datasets: Annotated[dict[str, list[str]], Field(min_length=1)]
    trials: Annotated[int, Ge(2)]
    steps: Annotated[int, Ge(1)]
    replicates: Annotated[int, Ge(1)] = 2
    learning_rates: tuple[Rate, ...] = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)

    @model_validator(mode="after")
    def _check_trials(self) -> "Tuning":
        if self.trials > len(set(self.learning_rates)):
            raise ValueError(
                f"tuning.trials: {self.trials} trials need as many different learning rates, and "
                f"there are {len(set(self.learning_rates))}"
            )
        return self


class Values(Strict):
    """Tuned values of a method on a dataset."""

    learning_rate: Rate
    settings: dict[str, Any] = Field(default={})


class Scored(Values):
    """Values with their score; lower is better."""

    score: float


class Chosen(Strict):
    """The outcome of the trials of one method on one dataset.

    Attributes
    ----------
    best, runner_up : Scored, optional
        The two best trials. None if fewer trials have a score.
    trials, failed : int
        Number of trials, and of trials without a score.
    edge : list of str
        Names of what is best at the smallest or largest value tried: beyond it may be better.
    """

    best: Scored | None = None
    runner_up: Scored | None = None
    trials: int
    failed: int
    edge: list[str] = Field(default=[])


class TunedDataset(Strict):
    """Outcome of tuning on one dataset.

    Attributes
    ----------
    criterion : str
        Metric that was minimised, on validation data.
    settings : dict
        Settings of the criterion.
    serves : list of str
        Further datasets that use the values.
    methods : dict of str to Chosen
        Outcome for each method.
    """

    criterion: str
    settings: dict[str, Any] = Field(default={})
    serves: list[str] = Field(default=[])
    methods: dict[str, Chosen]


class Tuned(Strict):
    """Tuned values of a suite, with their provenance.

    Attributes
    ----------
    suite, suite_version : str, int
        Name and version of the suite.
    date : str
        Date of the last trial.
    version : list of str
        Versions of the package that ran the trials.
    commit : list of str
        Commits of its code, followed by ``+`` if files had been changed.
    seed : int
        Seed of all trials, derived from that of the suite and different from it.
    trials, steps, replicates, learning_rates
        As in `Tuning`.
    datasets : dict of str to TunedDataset
        Outcome for each dataset.
    """

    suite: str
    suite_version: int
    date: str
    version: list[str]
    commit: list[str]
    seed: int
    trials: int
    steps: int
    replicates: int
    learning_rates: tuple[Rate, ...]
    datasets: dict[str, TunedDataset]

    def values(self, dataset: str, method: str) -> Values | None:
        """Return the tuned values of a method on a dataset; None if it keeps its own."""
        for name, tuned in self.datasets.items():
            if dataset in (name, *tuned.serves) and method in tuned.methods:
                return tuned.methods[method].best
        return None


def latin_hypercube(
    space: Mapping[str, Sequence[Any]], trials: int, seed: str
) -> list[dict[str, Any]]:
    """Draw combinations of values: a Latin hypercube.

    Each value of each setting is drawn as often as any other, or once more, so that a method
    with one setting and one with three see their values equally often.

    Parameters
    ----------
    space : mapping of str to sequence
        Values of each setting.
    trials : int
        Number of combinations.
    seed : str
        Seed of the draw. Settings of the same name and values get the same order for all methods.
    """
    columns = {}
    for name, values in space.items():
        source = random.Random(f"{seed} {name}")
        order = source.sample(list(values), len(values))
        column = [order[i % len(order)] for i in range(trials)]
        columns[name] = source.sample(column, trials)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
