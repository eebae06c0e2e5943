"""Error of the masses of modes, by samples of the model."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import one_hot

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class SampledModeMassError(Metric):
    """Total variation between the true masses of modes and the shares of the model's samples.

    As `mode_mass_error`, in any dimension. 0 is best and 1 worst; samples of a perfect model
    differ too, by about ``sqrt(modes / (2 π points))``. Where the model is sampled by Markov
    chains, their error is part of it.

    Parameters
    ----------
    points : int
        Samples of the model.

    References
    ----------
    Wenliang and Kanagawa, "Blindness of score-based methods to isolated components and mixing
    proportions", 2020, arXiv:2008.10087.
    """

    points: Annotated[int, Ge(2)] = 2_000

    version = 1
    requires = ("modes",)
    scale = "log"
    label = "mode mass error"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Count the samples of each replicate."""
        weights = dataset.mode_weights.to(streams.device)
        x = model.samples(self.points)
        shares = one_hot(in_chunks(dataset.mode_of, x), len(weights)).double().mean(1)
        value = 0.5 * (shares - weights).abs().sum(1)
        return {"value": torch.where(x.flatten(1).isfinite().all(1), value, math.nan)}
