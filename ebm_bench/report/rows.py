"""Rows of the table of a dataset."""

from dataclasses import dataclass

import numpy as np

from ebm_bench.records import Outcome, Run
from ebm_bench.report.columns import Number, Rank
from ebm_bench.report.convergence import Trend
from ebm_bench.report.formatting import count

CONTROL = "control"
DRAWN = 16  # models of a dataset in a figure: eight colours, each twice
_UNKNOWN = Trend()


@dataclass(frozen=True, eq=False)
class Row:
    """A model on a dataset: what a method trained, or a by-product of it, which has no rank.

    Attributes
    ----------
    method, model : str
        The model is ``"energy"``, or the name of a by-product.
    control : bool
        Whether it is a control, which is not ranked.
    status : str
        Description of how its replicates ended.
    worse : int or None
        Number of ranked replicates that are worse than controls that learn nothing, see
        `baselines.find`; None without a rank or without such controls.
    trend : Trend
        How much it still improved over the last quarter of training.
    rank : int or None
        None for controls and by-products, and where there is nothing to rank.
    mean_rank : float
        Mean rank over replicates; NaN without a rank.
    best, tied, reference : bool
        Whether it is among the best, whether others are as well, and whether the others are
        compared with it.
    run : Run or None
        None where it was not run.
    outcomes : list of Outcome
        How each of its replicates ended; empty where it was not run.
    machine : str
        See `Results.machines`; empty where all runs of the dataset were timed on the same.
    apart : bool
        Whether it was timed on other hardware than the methods that it competes with.
    """

    method: str
    model: str
    control: bool
    status: str
    rank: int | None
    mean_rank: float
    best: bool
    tied: bool
    reference: bool
    run: Run | None
    outcomes: list[Outcome]
    machine: str = ""
    apart: bool = False
    worse: int | None = None
    trend: Trend = _UNKNOWN

    @property
    def remarks(self) -> str:
        """Status, how many replicates are worse than idle controls, and whether it still moves."""
        found = [self.status]
        if self.worse:
            found.append(f"{self.worse} of {len(self.outcomes)} worse than idle controls")
        if self.trend.moving:
            found.append("still moving")
        return ", ".join(found[1:] if found[0] == "ok" and len(found) > 1 else found)

    @property
    def label(self) -> str:
        """Name for tables and legends: ``fce``, ``fce (flow)``."""
        return label(self.method, self.model)

    @property
    def seconds(self) -> float:
        """Time of setting up and training all replicates, to be compared.

        NaN if not run, and for what was timed on other hardware than its competitors.
        """
        return self._spent if self.run and not self.apart else np.nan

    @property
    def training(self) -> Number:
        """Training time on any hardware, with the mark of the machine."""
        return Number(self._spent, note=self.machine)

    @property
    def _spent(self) -> float:
        return self.run.cost.setup_seconds + self.run.cost.train_seconds if self.run else np.nan

    @property
    def steps(self) -> int | None:
        """Optimiser steps of the replicate that took most; None if not run."""
        return max((outcome.step for outcome in self.outcomes), default=None)

    @property
    def evaluations(self) -> str | None:
        """Number of energy evaluations of a replicate; None if not run."""
        return count(self.run.cost.energy_evaluations) if self.run else None

    @property
    def place(self) -> Rank | str:
        """The rank, and whether it is shared with the best; `CONTROL` for controls."""
        return CONTROL if self.control else Rank(self.rank, self.tied)


def drawn(rows: list[Row]) -> list[Row]:
    """Keep what figures show: of models, best first, as many as can be told apart; all controls."""
    models = [row for row in rows if not row.control]
    return [*models[:DRAWN], *(row for row in rows if row.control)]


def drawn_of(rows: list[Row]) -> str:
    """State how many models figures show; empty if it is all of them."""
    models = sum(not row.control for row in rows)
    return f"the best {DRAWN} of {models} models" if models > DRAWN else ""


def label(method: str, model: str) -> str:
    """Name a model for tables and legends."""
    return method if model == "energy" else f"{method} ({model})"
