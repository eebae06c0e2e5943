"""Datasets and methods as a suite describes them.

Nothing here imports torch.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field

from ebm_bench.suites.base import Named, Strict
from ebm_bench.suites.budget import Budget


class DatasetSpec(Strict):
    """A dataset of a suite, and how models are trained and evaluated on it.

    Attributes
    ----------
    settings : dict
        Settings of the dataset.
    energy : Named
        Energy that every method trains, unless the method has its own.
    replicates : int
        Number of seeds per method.
    budget : Budget
        Budget of every method.
    sampler : Named
        Sampler for models that cannot be sampled exactly, the same for all methods.
    metrics : dict of str to dict
        Names and settings of the metrics.
    rank_by : str
        Metric that the leaderboard is ranked by.
    curve : str
        Metric of the learning curve.
    curve_points : int
        Number of points of the learning curve, evenly spaced in the logarithm of the step. Three
        or more have another one at three quarters of the steps.
    compute : str
        How steps are executed: ``eager``; ``compiled`` (with CUDA graphs on a GPU); ``mixed``,
        compiled with matrix products in bfloat16 on a GPU; ``auto``, compiled if that saves time.
    """

    settings: dict[str, Any] = Field(default={})
    energy: Named
    replicates: Annotated[int, Ge(1), Le(10_000)] = 3
    budget: Budget
    sampler: Named
    metrics: dict[str, dict[str, Any]]
    rank_by: str
    curve: str
    curve_points: Annotated[int, Ge(2)] = 10
    compute: Literal["auto", "eager", "compiled", "mixed"] = "auto"


class ObjectiveSpec(Strict):
    """An objective with its settings.

    Attributes
    ----------
    objective : str
        Registered name.
    settings : dict
        Settings of the objective.
    """

    objective: str
    settings: dict[str, Any] = Field(default={})


class MethodSpec(ObjectiveSpec):
    """A method of a leaderboard; further attributes as in `ObjectiveSpec`.

    Attributes
    ----------
    overrides : dict of str to dict
        Settings that replace others on single datasets, by the name of the dataset.
    energy : Named, optional
        Energy that replaces that of the dataset.
    datasets : list of str, optional
        Datasets that the method runs on. All if not given.
    control : bool
        Whether the method is a control, which is shown but not ranked.
    """

    overrides: dict[str, dict[str, Any]] = Field(default={})
    energy: Named | None = None
    datasets: Annotated[list[str], Field(min_length=1)] | None = None
    control: bool = False
