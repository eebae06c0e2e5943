"""Fisher divergence from the truth."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class FisherDivergence(Metric):
    """Mean squared distance of the model's score from the true one, over data.

    Small for models that misplace the weights of separated modes: see `mode_mass_error`.

    Parameters
    ----------
    points : int
        Held-out points.

    References
    ----------
    Hyvärinen, "Estimation of non-normalized statistical models by score matching", JMLR 2005,
    https://jmlr.org/papers/v6/hyvarinen05a.html.
    """

    points: Annotated[int, Ge(2)] = 10_000

    version = 1
    requires = ("score",)
    scale = "log"
    label = "Fisher divergence"

    @torch.no_grad()
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the scores of each replicate, ``E‖s_p − s‖²``."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        return average((dataset.score(x) + gradient(model.energy, x)).flatten(2).square().sum(2))
