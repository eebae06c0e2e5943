"""Accuracy of a classifier that tells samples from data."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.metrics.points import average, in_chunks
from ebm_bench.metrics.samples import SampleDistance
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class ClassifierTwoSampleTest(SampleDistance):
    """Accuracy with which nearest neighbours tell samples from held-out data.

    Half of the samples and half of the data vote on each of the others, about √n neighbours of n.
    It is ½ for a perfect model, and 1 less half of the mass that model and data have in common
    as the points become many: ½ (1 + total variation). A classifier that learns nothing in
    training, so that no choice of a network or an optimiser enters.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.

    References
    ----------
    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017, arXiv:1610.06545:
    the variant C2ST-KNN.
    """

    version = 1
    label = "two-sample accuracy"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Classify points, each of shape (R, points, D)."""
        half = self.points // 2
        voters = torch.cat([samples[:, :half], data[:, :half]], 1)
        judged = torch.cat([samples[:, half:], data[:, half:]], 1)
        neighbours = math.isqrt(2 * half) | 1  # an odd number, which has no ties

        def share(points: Tensor) -> Tensor:
            """Count the share of samples among the neighbours of points, (R, n)."""
            nearest = torch.cdist(points, voters).topk(neighbours, 2, largest=False).indices
            return (nearest < half).double().mean(2)

        taken_for_samples = in_chunks(share, judged) > 0.5
        are_samples = torch.arange(judged.shape[1], device=judged.device) < judged.shape[1] // 2
        result = average(taken_for_samples == are_samples)
        broken = samples.flatten(1).isnan().any(1)
        return {name: values.where(~broken, math.nan) for name, values in result.items()}
