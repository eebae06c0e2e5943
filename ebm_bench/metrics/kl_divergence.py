"""Kullback–Leibler divergence from the truth, by quadrature."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class KlDivergence(Metric):
    """Divergence of a model in the plane from the data, ``KL(data ‖ model)``, on a grid.

    Infinite where the model gives no mass to where data are. The part ``converged`` is 1
    where a finer and a wider grid give the same log-normaliser.
    """

    version = 1
    requires = ("log_prob", "grid")
    unit = "nats"
    label = "KL"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Integrate ``p log(p/q)`` for each replicate."""
        grid = model.grid
        with torch.no_grad():
            truth = in_chunks(dataset.log_prob, grid.points[None]).double()
        mass = truth.softmax(1)
        excess = truth + grid.energy.double() + model.log_z[:, None]
        terms = torch.where(mass == 0, 0.0, mass * excess)
        return {"value": terms.sum(1), "converged": grid.converged.double()}
