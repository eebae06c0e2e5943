"""Nearest neighbours of points."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ebm_bench.metrics.points import in_chunks


def covered(x: Tensor, y: Tensor, neighbours: int = 3) -> Tensor:
    """Say which points lie among others.

    Parameters
    ----------
    x, y : Tensor of shape (R, N, D), (R, M, D)
        Points, and the others.
    neighbours : int
        K. There must be more of the others.

    Returns
    -------
    Tensor of shape (R, N)
        1 where a point is no further from any of the others than the K-th nearest of the rest of
        them is from that one, else 0; not a number where that cannot be said.
    """

    def distances(a: Tensor) -> Tensor:
        # As differences: those of squares would cancel where points are copies.
        return torch.cdist(a, y, compute_mode="donot_use_mm_for_euclid_dist")

    # The nearest is the point itself.
    reach = in_chunks(lambda rows: distances(rows).kthvalue(neighbours + 1, 2).values, y)
    beyond = in_chunks(lambda rows: (distances(rows) - reach.unsqueeze(1)).amin(2), x)
    return torch.where(beyond.isnan(), math.nan, (beyond <= 0).double())


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
