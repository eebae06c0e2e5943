"""The log-normaliser by integration."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class LogZ(Metric):
    """Log-normaliser of a model in the plane, ``log ∫ exp(−E)``, on a grid.

    A property of the model, not a score: where it is known, it checks the grid. The
    part ``converged`` is 1 where a finer and a wider grid give the same.
    """

    version = 1
    higher_is_better = None
    requires = ("grid",)
    unit = "nats"
    label = "log Z"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Integrate each replicate."""
        grid = model.grid
        return {"value": grid.log_z, "converged": grid.converged.double()}
