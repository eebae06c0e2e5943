"""Averages of a kernel over pairs of different points, which estimate distances without bias."""

from collections.abc import Callable

import torch
from torch import Tensor

# Values of a kernel at points (R, N, D) and (R, M, D), shape (R, N, M).
Kernel = Callable[[Tensor, Tensor], Tensor]

_ROWS = 64  # in a block of the matrix of a kernel, so that it stays small
_TYPICAL = 500  # points from which the median of distances is taken


def squared_discrepancy(kernel: Kernel, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Estimate the squared maximum mean discrepancy of two samples, without bias.

    ``E k(X, X') + E k(Y, Y') − 2 E k(X, Y)``.

    Parameters
    ----------
    kernel : Kernel
        Positive definite, or minus a distance.
    x, y : Tensor of shape (R, N, D), (R, M, D)
        Samples.

    Returns
    -------
    dict of str to Tensor of shape (R,)
        The estimate, and its standard error from what each point adds to it (the infinitesimal
        jackknife): √2 times too large where both distributions are the same.
    """
    x, y = x.double(), y.double()
    ours, theirs = _between(kernel, x, y)
    # What each point adds, less what it has in common with the other set.
    ours, theirs = to_others(kernel, x) - ours, to_others(kernel, y) - theirs
    variance = ours.var(1) / x.shape[1] + theirs.var(1) / y.shape[1]
    return {"value": ours.mean(1) + theirs.mean(1), "standard_error": 2 * variance.sqrt()}


def to_others(kernel: Kernel, x: Tensor) -> Tensor:
    """Average a kernel from each of N points to all others, (R, N)."""
    sums, done = [], 0
    for rows in x.split(_ROWS, 1):
        k = kernel(rows, x)
        sums.append(k.sum(2) - k.diagonal(done, 1, 2))
        done += rows.shape[1]
    return torch.cat(sums, 1) / (x.shape[1] - 1)


def _between(kernel: Kernel, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Average a kernel over the other set from each point of both, (R, N) and (R, M)."""
    rows, columns = [], y.new_zeros(y.shape[:2])
    for part in x.split(_ROWS, 1):
        k = kernel(part, y)
        rows.append(k.mean(2))
        columns += k.sum(1)
    return torch.cat(rows, 1), columns / x.shape[1]


def gaussian(bandwidth: Tensor) -> Kernel:
    """Make the kernel ``exp(−‖x − y‖²/2h²)`` with a bandwidth h for each replicate, (R,)."""
    scale = -0.5 / bandwidth.view(-1, 1, 1).square()
    return lambda a, b: torch.cdist(a, b).square_().mul_(scale).exp_()


def median_distance(x: Tensor) -> Tensor:
    """Find the median distance of two of the first points (R, N, D), (R,) in float64."""
    x = x[:, :_TYPICAL].double()
    first, second = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    return torch.cdist(x, x)[:, first, second].median(1).values
