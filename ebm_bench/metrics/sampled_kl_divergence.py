"""Kullback–Leibler divergence from the truth, by sampling."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average, energies, in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class SampledKlDivergence(Metric):
    """Divergence of a model from the data, ``KL(data ‖ model)``, as an average over data.

    For any dimension, where `kl_divergence` needs the plane. Near zero it scatters around the
    truth to both sides.

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
    requires = ("log_prob",)
    unit = "nats"
    label = "KL"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average ``log p(x) + E(x) + log Z`` over each replicate's held-out data."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        normaliser = model.normaliser(self.chains, self.levels)
        excess = in_chunks(dataset.log_prob, x) + energies(model.energy, x)
        result = average(excess + normaliser.log_z[:, None])
        return {
            "value": result["value"],
            "standard_error": result["standard_error"].hypot(normaliser.standard_error),
            **normaliser.details,
        }
