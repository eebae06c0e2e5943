"""Bits per dimension of held-out images."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.likelihood import Likelihood
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class BitsPerDim(Likelihood):
    """Bits per dimension of held-out images of eight bits, through the dequantised density.

    ``(E(y) + log Z − log|dy/dx|) / (D log 2) + 8``. A sampled log Z tends to be too low, and the
    bits with it: a value whose part ``converged`` is 0 is only a lower bound.

    Parameters
    ----------
    points : int
        Held-out images.
    chains, levels : int
        Chains and levels of annealed importance sampling, where the log-normaliser is not known.
    best_start : bool
        Whether annealing starts at the base measure alone, not at the density of the data, where
        next to none of the mass of the model is found from the latter.

    References
    ----------
    Theis, van den Oord and Bethge, "A note on the evaluation of generative models", ICLR 2016,
    arXiv:1511.01844.
    """

    points: Annotated[int, Ge(2)] = 1_000
    chains: Annotated[int, Ge(2)] = 16  # a gradient costs far more than for vectors
    levels: Annotated[int, Ge(1)] = 300

    version = 2
    requires = ("pixels",)
    unit = ""
    label = "bits/dim"
    lower_bound = True  # a value that did not converge

    def offset(self, dataset, x: Tensor) -> Tensor:
        """Log-determinant of the map from pixels, with a minus, shape (R, N)."""
        return -dataset.log_det(x)

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over each replicate's held-out images."""
        result = super().__call__(model, dataset, streams)
        per_bit = math.prod(dataset.event_shape) * math.log(2)
        return {
            **result,
            "value": result["value"] / per_bit + 8,
            "standard_error": result["standard_error"] / per_bit,
            "log_z": model.normaliser(self.chains, self.levels, self.best_start).log_z,
        }
