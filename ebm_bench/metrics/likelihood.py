"""Averages of held-out log-likelihoods."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average, energies
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class Likelihood(Metric):
    """Average of ``E(x) + log Z`` and a term that depends on the data alone.

    Parameters
    ----------
    points : int
        Held-out points.
    chains, levels : int
        Chains and levels of annealed importance sampling, where the log-normaliser is estimated
        by it.
    best_start : bool
        Whether annealing starts at the base measure alone, not at the density of the data, where
        next to none of the mass of the model is found from the latter.
    """

    points: Annotated[int, Ge(2)] = 10_000
    chains: Annotated[int, Ge(2)] = 128
    levels: Annotated[int, Ge(1)] = 1000
    best_start: bool = False

    unit = "nats"

    def offset(self, dataset, x: Tensor) -> Tensor | float:
        """Term of each point (R, N, *event_shape) that is added to its energy, shape (R, N)."""
        return 0.0

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over each replicate's held-out data."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        normaliser = model.normaliser(self.chains, self.levels, self.best_start)
        terms = energies(model.energy, x) + self.offset(dataset, x)
        result = average(terms + normaliser.log_z[:, None])
        return {
            "value": result["value"],
            "standard_error": result["standard_error"].hypot(normaliser.standard_error),
            **normaliser.details,
        }
