"""Kullback–Leibler divergence from the truth, by quadrature."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.grid import is_resolved
from ebm_bench.metrics.points import energies, in_chunks
from ebm_bench.metrics.smoothing import divergence_from_smoothed
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class KlDivergence(Metric):
    """Divergence of a model in the plane from the data, ``KL(data ‖ model)``, on a grid.

    Infinite where the model gives no mass to where data are. The part ``converged`` is 1
    where a finer and a wider grid give the same log-normaliser. Data that are too narrow for
    the grid, by their own mass on it, are sampled instead. The part ``smoothing_floor`` is the
    divergence of the data from the optimum of an objective that smooths them, such as denoising
    score matching.

    Parameters
    ----------
    points : int
        Held-out points, where they are sampled.
    """

    points: Annotated[int, Ge(2)] = 100_000

    version = 1
    requires = ("log_prob", "grid")
    unit = "nats"
    scale = "log"
    label = "KL"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Integrate ``p log(p/q)`` for each replicate."""
        result = self._measure(model, dataset, streams)
        if sd := getattr(model.objective, "smoothing", None):
            floor = divergence_from_smoothed(dataset, sd)
            result["smoothing_floor"] = torch.full_like(result["value"], floor)
        return result

    def _measure(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        grid = model.grid
        with torch.no_grad():
            truth = in_chunks(dataset.log_prob, grid.points[None]).double()
        if not is_resolved(truth[0], grid):
            x = dataset.sample(self.points, streams.child("data"), split=self.split)
            excess = in_chunks(dataset.log_prob, x).double() + energies(model.energy, x)
            value = excess.mean(1) + model.log_z
            return {"value": value, "converged": grid.converged.double()}
        mass = truth.softmax(1)
        excess = truth + grid.energy.double() + model.log_z[:, None]
        terms = torch.where(mass == 0, 0.0, mass * excess)
        return {"value": terms.sum(1), "converged": grid.converged.double()}
