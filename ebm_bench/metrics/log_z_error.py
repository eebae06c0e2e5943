"""How far a learned log-normaliser is from the truth."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class LogZError(Metric):
    """Distance of the learned log-normaliser from the known, integrated or sampled one.

    The part ``signed`` is learned minus reference. No value for methods that learn none.

    Parameters
    ----------
    chains, levels : int
        Chains and levels of annealed importance sampling, where it is the reference.
    best_start : bool
        Whether annealing starts at the base measure alone, not at the density of the data, where
        next to none of the mass of the model is found from the latter.
    """

    chains: Annotated[int, Ge(2)] = 128
    levels: Annotated[int, Ge(1)] = 1000
    best_start: bool = False

    version = 2
    requires = ("learned_log_z",)
    unit = "nats"
    scale = "log"
    label = "log Z error"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare each replicate."""
        if model.learned_log_z is None:
            return {}
        reference = model.normaliser(self.chains, self.levels, self.best_start)
        signed = model.learned_log_z.double() - reference.log_z
        return {
            "value": signed.abs(),
            "standard_error": reference.standard_error,
            "signed": signed,
            **reference.details,
        }
