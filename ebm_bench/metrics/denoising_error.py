"""Error of denoising by the score."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.for_samplers import gradient
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class DenoisingError(Metric):
    """Mean squared error per dimension of one denoising step, ``x̃ + σ² s(x̃)``.

    Noise of standard deviation σ is added to held-out points; without denoising the error is σ².
    The step is optimal for the score of the noisy data (Robbins 1956, Miyasawa 1961), so the
    metric favours slightly models of the noisy over models of the clean data. The parts
    ``third_of_sigma`` and ``thrice_sigma`` are the errors under a third and three times as much
    of the same noise: an objective that learned the score at one scale alone is good at that one.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, in units of the data.
    points : int
        Held-out points.
    """

    sigma: Annotated[float, Gt(0)] = 0.3
    points: Annotated[int, Ge(2)] = 500

    version = 1
    label = "denoising error"

    @torch.no_grad()
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Denoise each replicate's held-out data."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        noise = streams.child("noise").normal_like(x)

        def errors(sigma: float) -> dict[str, Tensor]:
            noisy = x + sigma * noise
            denoised = noisy - sigma**2 * gradient(model.energy, noisy)
            return average((denoised - x).flatten(2).square().mean(2))

        return {
            **errors(self.sigma),
            "third_of_sigma": errors(self.sigma / 3)["value"],
            "thrice_sigma": errors(3 * self.sigma)["value"],
        }
