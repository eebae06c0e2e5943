"""Negative log-likelihood of held-out data."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average, energies
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class NegativeLogLikelihood(Metric):
    """Average of ``E(x) + log Z`` over held-out data.

    The part ``gap`` is what exceeds the entropy of the data, an estimate of the divergence.

    Parameters
    ----------
    points : int
        Held-out points.
    chains, levels : int
        Of annealed importance sampling, where the log-normaliser comes from it.
    """

    points: Annotated[int, Ge(2)] = 10_000
    chains: Annotated[int, Ge(2)] = 16
    levels: Annotated[int, Ge(1)] = 300

    version = 1
    requires = ("entropy",)
    unit = "nats"
    label = "NLL"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average each replicate's held-out data."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        normaliser = model.normaliser(self.chains, self.levels)
        result = average(energies(model.energy, x) + normaliser.log_z[:, None])
        return {
            "value": result["value"],
            "standard_error": result["standard_error"].hypot(normaliser.standard_error),
            "gap": result["value"] - dataset.entropy(),
            **normaliser.details,
        }
