"""How a suite is tuned, and the file of tuned values.

Nothing here imports torch.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from ebm_bench.suites.base import Strict

# The learning curve of a trial, which nobody looks at: the cheapest metric there is.
TRIAL_CURVE = "hyvarinen_score"

Rate = Annotated[float, Gt(0)]


class Tuning(Strict):
    """How ``ebm-bench tune`` searches: the same for every method.

    Attributes
    ----------
    datasets : dict of str to list of str
        Datasets to tune on, and the others on which the values found there are used as well.
    trials : int
        Settings that are tried for each method; no more than there are learning rates, so that
        no method tries one twice.
    steps : int
        Of each trial.
    replicates : int
        Models trained in each trial; their mean counts.
    learning_rates : tuple of float
        That are tried.
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
    """What tuning decides of a method on a dataset."""

    learning_rate: Rate
    settings: dict[str, Any] = Field(default={})


class Scored(Values):
    """Values with their score, of which less is better."""

    score: float


class Chosen(Strict):
    """The outcome of the trials of one method on one dataset.

    Attributes
    ----------
    best, runner_up : Scored, optional
        None where not so many trials came to a score.
    trials, failed : int
        How many there were, and how many of them came to none.
    """

    best: Scored | None = None
    runner_up: Scored | None = None
    trials: int
    failed: int


class TunedDataset(Strict):
    """What was found on one dataset.

    Attributes
    ----------
    criterion : str
        The metric that chose, on validation data.
    settings : dict
        Of the criterion.
    serves : list of str
        Further datasets on which the values are used.
    methods : dict of str to Chosen
        The outcome for each method.
    """

    criterion: str
    settings: dict[str, Any] = Field(default={})
    serves: list[str] = Field(default=[])
    methods: dict[str, Chosen]


class Tuned(Strict):
    """Tuned values of a suite, with where they come from.

    Attributes
    ----------
    suite, suite_version : str, int
        That was tuned.
    date : str
        Of the last trial.
    version : list of str
        Of the package that ran the trials.
    commit : list of str
        Of its code; with ``+`` behind it where files had been changed.
    seed : int
        Of all random numbers of the trials, derived from the suite's and unlike it.
    trials, steps, replicates, learning_rates
        As in `Tuning`.
    datasets : dict of str to TunedDataset
        What was found.
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
        """Find the values of a method on a dataset; None where it keeps its own."""
        for name, tuned in self.datasets.items():
            if dataset in (name, *tuned.serves) and method in tuned.methods:
                return tuned.methods[method].best
        return None


def deal(space: Mapping[str, Sequence[Any]], trials: int, seed: str) -> list[dict[str, Any]]:
    """Draw combinations of values: a Latin hypercube.

    Each value of each setting is drawn as often as any other, or once more, so that a method
    with one setting and one with three see their values equally often.

    Parameters
    ----------
    space : mapping of str to sequence
        Values of each setting.
    trials : int
        How many combinations.
    seed : str
        Of the draw. Settings of the same name and values are dealt alike for all methods.
    """
    columns = {}
    for name, values in space.items():
        source = random.Random(f"{seed} {name}")
        order = source.sample(list(values), len(values))
        column = [order[i % len(order)] for i in range(trials)]
        columns[name] = source.sample(column, trials)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
