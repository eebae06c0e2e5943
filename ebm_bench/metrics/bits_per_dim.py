"""Bits per dimension of held-out images."""

import math
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
class BitsPerDim(Metric):
    """Bits per dimension of held-out images of eight bits, through the dequantised density.

    ``(E(y) + log Z − log|dy/dx|) / (D log 2) + 8``. Where log Z is sampled it tends to be too
    low and the bits with it: a value whose part ``converged`` is 0 is no more than a lower
    bound. Theis et al. (2016), "A note on the evaluation of generative models".

    Parameters
    ----------
    points : int
        Held-out images.
    chains, levels : int
        Of annealed importance sampling, where the log-normaliser is not known.
    """

    points: Annotated[int, Ge(2)] = 1_000
    chains: Annotated[int, Ge(2)] = 16
    levels: Annotated[int, Ge(1)] = 300

    version = 1
    requires = ("pixels",)
    label = "bits/dim"
    lower_bound = True  # a value that did not converge

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average each replicate's held-out images."""
        y = dataset.sample(self.points, streams.child("data"), split=self.split)
        normaliser = model.normaliser(self.chains, self.levels)
        result = average(energies(model.energy, y) - dataset.log_det(y))
        per_bit = math.prod(dataset.event_shape) * math.log(2)
        error = result["standard_error"].hypot(normaliser.standard_error)
        return {
            "value": (result["value"] + normaliser.log_z) / per_bit + 8,
            "standard_error": error / per_bit,
            "log_z": normaliser.log_z,
            **normaliser.details,
        }
