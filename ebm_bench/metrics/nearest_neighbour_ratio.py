"""Distance of samples to the training images, which shows copies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams

# Share of the held-out images that are nearer to a training image than `near` says.
_NEAR = 0.05


@register
@dataclass(eq=False, kw_only=True)
class NearestNeighbourRatio(Metric):
    """Distance of samples to their nearest training images, over that of held-out images.

    The ratio of the two medians. It is 1 for a perfect model, far less than 1 where samples copy
    training images, and more than 1 where they resemble no image: not a measure of quality. The
    parts ``samples`` and ``held_out`` are the medians: root mean squared differences of pixels
    between 0 and 1, exact and to all training images. The part ``near`` is the share of samples
    that are nearer to a training image than 95 % of the held-out images are, 0.05 for a perfect
    model: it shows copies among other samples. Distances of pixels see copies, but no image that
    was shifted or changed in its colours. Two dequantisations of one image are 0.0016 apart.

    Parameters
    ----------
    points : int
        Samples; as many as other metrics take are drawn once for all.
    held_out : int
        Held-out images, the same for all models.

    References
    ----------
    Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative
    models", AISTATS 2020, arXiv:2004.05675.
    """

    points: Annotated[int, Ge(2)] = 64
    held_out: Annotated[int, Ge(2)] = 500

    version = 1
    requires = ("pixels",)
    higher_is_better = None
    label = "nearest-neighbour ratio"

    @torch.no_grad()
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with held-out images.

        Not a number for data that are drawn without end, where nothing can be copied.
        """
        one = Streams(streams.seed, 1, streams.device, (*streams.scope, "neighbours"))
        held_out = dataset.sample(self.held_out, one.child("held_out"), self.split)
        samples = model.samples(self.points)
        queries = [dataset.to_pixels(x).flatten(0, 1).flatten(1) for x in (held_out, samples)]
        batches = dataset.batches(one.child("train"))
        if batches is None:
            return {"value": torch.full((streams.replicates,), math.nan)}
        train = (dataset.to_pixels(batch[0]).flatten(1) for batch in batches)
        distances = nearest(torch.cat(queries), train)
        theirs, ours = distances[: self.held_out], distances[self.held_out :]
        ours = ours.view(len(samples), self.points)
        near = (ours < theirs.quantile(_NEAR)).double().mean(1)
        (median, error), (usual, its_error) = _median(ours), _median(theirs)
        value = median / usual
        return {
            "value": value,
            "standard_error": error.hypot(value * its_error) / usual,
            "samples": median,
            "held_out": usual.expand_as(value),
            "near": torch.where(median.isnan(), math.nan, near),
        }


def nearest(queries: Tensor, train: Iterable[Tensor]) -> Tensor:
    """Compute the distance of points to the nearest of others.

    Parameters
    ----------
    queries : Tensor of shape (Q, D)
        Points.
    train : iterable of Tensor of shape (n, D)
        The others, in batches; gone through once.

    Returns
    -------
    Tensor of shape (Q,)
        Root mean squared differences in float64, not a number where a point is not.
    """
    found = torch.full_like(queries, math.nan)
    least = torch.full_like(queries[:, :1], math.inf)
    for batch in train:
        # Squared distances less the squares of the queries, which do not matter here.
        partial = torch.addmm(batch.square().sum(1), queries, batch.T, alpha=-2)
        best, place = partial.min(1, keepdim=True)
        nearer = best < least
        found = torch.where(nearer, batch[place[:, 0]], found)
        least = torch.where(nearer, best, least)
    # As differences: those of squares would cancel where points are close.
    return (queries - found).double().square().mean(1).sqrt()


def _median(values: Tensor) -> tuple[Tensor, Tensor]:
    """Median along the last axis, with its standard error from the order statistics about it."""
    margin = 0.5 / values.shape[-1] ** 0.5
    levels = torch.tensor([0.5 - margin, 0.5, 0.5 + margin], dtype=values.dtype)
    low, median, high = torch.quantile(values, levels.to(values.device), dim=-1)
    return median, (high - low) / 2
