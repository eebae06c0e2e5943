"""The search of tuning, and the file of tuned values.

Nothing here imports torch.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from pydantic import Field, field_validator

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.suites.base import Named, Strict

# Metric of the learning curves of trials, which are not used: the cheapest one.
TRIAL_CURVE = "hyvarinen_score"

ROUND = 3  # learning rates that are tried side by side

Rate = Annotated[float, Gt(0)]


class Tuning(Strict):
    """How ``ebm-bench tune`` searches: the same for every method.

    Attributes
    ----------
    datasets : dict of str to list of str, or "all"
        Datasets to tune on, each with further datasets that use its tuned values. A list of
        datasets that are tuned on for themselves will do.
    trials : int
        Number of trials per method: of learning rates with settings.
    steps : int, optional
        Number of optimiser steps per trial. By default that of the suite.
    replicates : int
        Number of models per trial, scored by a high quantile.
    learning_rates : tuple of float
        Learning rates. The search begins in their middle, and goes on beyond their ends where
        the best is there.
    """

    datasets: Literal["all"] | Annotated[dict[str, list[str]], Field(min_length=1)] = "all"
    trials: Annotated[int, Ge(2)]
    steps: Annotated[int, Ge(1)] | None = None
    replicates: Annotated[int, Ge(1)] = 2
    learning_rates: tuple[Rate, ...] = (5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2, 5e-2)

    @field_validator("datasets", mode="before")
    @classmethod
    def _map_list(cls, given: Any) -> Any:
        """Let each dataset of a list stand for itself alone."""
        if isinstance(given, list) and all(isinstance(name, str) for name in given):
            if len(set(given)) < len(given):
                raise ValueError("a dataset is listed twice")
            return {name: [] for name in given}
        return given

    @field_validator("learning_rates")
    @classmethod
    def _sort(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        """Order the rates, and refuse to search without two."""
        if len(set(given)) < 2:
            raise ValueError("a search needs two different learning rates")
        return tuple(sorted(set(given)))

    @property
    def rounds(self) -> int:
        """Number of rounds, each of some settings with three learning rates."""
        return math.ceil(self.trials / ROUND)

    def rate(self, place: int) -> float:
        """Return the learning rate at a place of the list, or as far beyond its ends."""
        rates = self.learning_rates
        beyond = place - min(max(place, 0), len(rates) - 1)
        if beyond == 0:
            return rates[place]
        ratio = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1))
        return float(f"{rates[-1 if beyond > 0 else 0] * ratio**beyond:.3g}")


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
    energy, batch_size : Named, int, optional
        Of the trials; files of earlier versions do not state them.
    """

    best: Scored | None = None
    runner_up: Scored | None = None
    trials: int
    failed: int
    edge: list[str] = Field(default=[])
    energy: Named | None = None
    batch_size: int | None = None

    def differences(self, energy: Named, batch_size: int) -> list[str]:
        """Name what is known to differ between the trials and a suite."""
        found = ["energy"] if self.energy and _whole(self.energy) != _whole(energy) else []
        return [*found, *(["batch size"] if self.batch_size not in (None, batch_size) else [])]


def _whole(energy: Named) -> tuple[str, dict[str, Any]]:
    """Fill in defaults; nothing is known of an energy that is there no more."""
    with suppress(InputError):
        settings = registry.describe("energies", energy.name).validate(energy.settings)
        return energy.name, settings
    return energy.name, energy.settings


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
        Name of the suite, and its version at the first of the trials.
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
    steps: int | None = None
    replicates: int
    learning_rates: tuple[Rate, ...]
    datasets: dict[str, TunedDataset]

    def values(self, dataset: str, method: str) -> Values | None:
        """Return the tuned values of a method on a dataset; None if it keeps its own."""
        chosen = self.chosen(dataset, method)
        return chosen.best if chosen else None

    def found(self, dataset: str, method: str) -> tuple[str, TunedDataset, Chosen] | None:
        """Return where what a method uses on a dataset was tuned, and the outcome; None if not."""
        for name, tuned in self.datasets.items():
            if dataset in (name, *tuned.serves) and method in tuned.methods:
                return name, tuned, tuned.methods[method]
        return None

    def chosen(self, dataset: str, method: str) -> Chosen | None:
        """Return the outcome of the trials that a method on a dataset uses; None if not tuned."""
        found = self.found(dataset, method)
        return found[2] if found else None


def join(first: Tuned, second: Tuned, where: object) -> Tuned:
    """Put values of some methods beside those of others, or in place of older ones.

    Parameters
    ----------
    first, second : Tuned
        Of the same search of the same suite.
    where : Path
        File of the first, for messages.

    Raises
    ------
    InputError
        Names what the two searches do not have in common.
    """
    exclude: Any = {name: True for name in ("suite_version", "date", "version", "commit")}
    exclude["datasets"] = {"__all__": {"methods"}}
    found, wanted = first.model_dump(exclude=exclude), second.model_dump(exclude=exclude)
    for each in (found, wanted):  # name by dataset what differs there
        for name, own in each.pop("datasets").items():
            each |= {f"datasets.{name}.{key}": value for key, value in own.items()}
    keys = dict.fromkeys([*found, *wanted])
    if different := [key for key in keys if found.get(key) != wanted.get(key)]:
        raise InputError(
            f"{where}: was found by another search than the suite's: {', '.join(different)} "
            f"{'differs' if len(different) == 1 else 'differ'}; tune all methods together"
        )
    update: dict[str, Any] = {
        "suite_version": min(first.suite_version, second.suite_version),
        "date": max(first.date, second.date),
        "version": sorted({*first.version, *second.version}),
        "commit": sorted({*first.commit, *second.commit}),
        "datasets": {},
    }
    for name, before in first.datasets.items():
        methods = before.methods | second.datasets[name].methods
        update["datasets"][name] = before.model_copy(update={"methods": methods})
    return second.model_copy(update=update)


@dataclass
class Search:
    """The search for the best values of a method, in rounds of three learning rates.

    The settings take turns, each with the best learning rate so far and one on either side of it.
    What is left of the trials goes to the best settings, with the learning rates nearest to the
    best one that were not tried with them: where it is the lowest or highest that was, they go on
    beyond it. A method without settings spends all of its trials on that.

    Attributes
    ----------
    tuning : Tuning
        Number of trials and learning rates.
    settings : list of dict
        Settings that are tried.
    scores : dict of (int, int) to float
        Score of each trial by the places of its settings and of its learning rate in their
        lists; infinite where there is none.
    """

    tuning: Tuning
    settings: list[dict[str, Any]]
    scores: dict[tuple[int, int], float] = field(default_factory=dict)

    def next_round(self) -> list[Values]:
        """List what is tried next: some settings with learning rates; nothing at the end."""
        return [
            Values(learning_rate=self.tuning.rate(place), settings=self.settings[number])
            for number, place in self._next()
        ]

    def add(self, scores: Sequence[float | None]) -> None:
        """Take note of the scores of the next round; None where there is none."""
        found = [math.inf if score is None else score for score in scores]
        self.scores |= zip(self._next(), found, strict=True)

    def _next(self) -> list[tuple[int, int]]:
        count = min(ROUND, self.tuning.trials - len(self.scores))
        number = len({number for number, _ in self.scores})
        best, middle = self._best()
        if number < len(self.settings):
            wide = 2 if len(self.tuning.learning_rates) > 4 else 1
            return [(number, middle + step) for step in (0, wide, -wide)[:count]]
        tried = {place for number, place in self.scores if number == best}
        outward = -1 if middle == min(tried) else 1
        around = (middle + side * outward * step for step in itertools.count(1) for side in (1, -1))
        untried = (place for place in around if place not in tried)
        return [(best, place) for place in itertools.islice(untried, count)]

    def _best(self) -> tuple[int, int]:
        """Places of the best values; of the lowest rate where all failed."""
        if not self.scores:
            return 0, (len(self.tuning.learning_rates) - 1) // 2
        return min(self.scores, key=lambda key: (self.scores[key], key[1]))


def combinations(space: Mapping[str, Sequence[Any]], most: int, seed: str) -> list[dict[str, Any]]:
    """List combinations of values: all, or a balanced draw.

    In the draw each value is about as frequent as the others of its setting.

    Parameters
    ----------
    space : mapping of str to sequence
        Values of each setting.
    most : int
        Largest number of combinations. Where it is less than two, the defaults are the only one.
    seed : str
        Seed of the draw.
    """
    rows = list(itertools.product(*(range(len(values)) for values in space.values())))
    if most < 2:
        return [{}]
    if len(rows) > most:
        random.Random(seed).shuffle(rows)
        drawn: list[tuple[int, ...]] = []
        used = Counter[tuple[int, int]]()
        while len(drawn) < most:
            row = min(rows, key=lambda row: sum(used[at] for at in enumerate(row)))
            rows.remove(row)
            drawn.append(row)
            used.update(enumerate(row))
        rows = drawn
    return [
        {name: values[at] for (name, values), at in zip(space.items(), row, strict=True)}
        for row in rows
    ]
