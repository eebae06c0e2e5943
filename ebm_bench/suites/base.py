"""The parts of a suite: datasets, methods, and what each may spend.

Nothing here imports torch.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field

# Names become folders, file names and words of commands.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Strict(BaseModel):
    """A part of a file that allows no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(Strict):
    """A registered name with its settings: ``{name: mlp, settings: {width: 64}}``."""

    name: str
    settings: dict[str, Any] = {}


class Budget(Strict):
    """What each method may spend on a dataset.

    Attributes
    ----------
    steps, batch_size : int
        Optimiser steps, and data points a step.
    seconds : float
        Time of fitting and training after which no further step is taken: the run ends with
        status ``timeout`` and is measured as it is. The fit of a noise is not cut short.
    learning_rate : float
        Of Adam.
    gradient_clip : float
        Largest gradient norm of a replicate.
    fit_samples : int
        Data points for fitting base measures and noise distributions.
    """

    steps: Annotated[int, Ge(0)]
    batch_size: Annotated[int, Ge(2)] = 256
    seconds: Annotated[float, Gt(0)] = 3600
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    gradient_clip: Annotated[float, Gt(0)] = 10.0
    fit_samples: Annotated[int, Ge(10)] = 10_000


class DatasetSpec(Strict):
    """A dataset of a suite, and how models are trained and measured on it.

    Attributes
    ----------
    settings : dict
        Of the dataset.
    energy : Named
        The energy that every method trains, unless the method brings its own.
    replicates : int
        Seeds per method.
    budget : Budget
        The same for every method.
    sampler : Named
        The one sampler that draws from every model where exact sampling is impossible.
    metrics : dict of str to dict
        Names and settings of what is measured.
    rank_by : str
        The metric that orders the leaderboard.
    curve : str
        The metric that is followed during training.
    curve_points : int
        How often, spaced evenly in the logarithm of the step.
    compute : str
        How steps run: ``eager``; ``compiled`` (with CUDA graphs on a GPU); ``mixed``, compiled
        with matrix products in bfloat16; ``auto``, compiled where that saves time.
    """

    settings: dict[str, Any] = {}
    energy: Named
    replicates: Annotated[int, Ge(1), Le(10_000)] = 3
    budget: Budget
    sampler: Named
    metrics: dict[str, dict[str, Any]]
    rank_by: str
    curve: str
    curve_points: Annotated[int, Ge(2)] = 10
    compute: Literal["auto", "eager", "compiled", "mixed"] = "auto"


class MethodSpec(Strict):
    """A method of a suite: an objective with its settings.

    Attributes
    ----------
    objective : str
        Registered name.
    settings : dict
        Of the objective.
    overrides : dict of str to dict
        Settings that replace those on one dataset, by its name.
    energy : Named, optional
        In place of the dataset's.
    datasets : list of str, optional
        Where the method runs; everywhere if not given.
    control : bool
        Whether the row frames the table rather than competes in it.
    """

    objective: str
    settings: dict[str, Any] = {}
    overrides: dict[str, dict[str, Any]] = {}
    energy: Named | None = None
    datasets: list[str] | None = None
    control: bool = False
