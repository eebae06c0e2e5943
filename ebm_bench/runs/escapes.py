"""Models whose mass has left the data: how much of it lies far from them.

A training can end with a finite loss and most of the model's mass where no data are. A point is far
if it is outside the box of the data and, in some coordinate, further from their mean than 3.5
standard deviations. Neither a model that is merely too broad nor one that leaks over an edge of the
data has mass there: a Gaussian with the moments of the data has one part in a thousand.
"""

import math

import torch
from scipy.special import betaincinv
from torch import Tensor

from ebm_bench.metrics.grid import lattice, widen
from ebm_bench.metrics.points import energies
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams

DEVIATIONS = 3.5
_WIDENING, _CELLS = 8.0, 128  # of the box of the data: where mass far away is looked for
_SAMPLES = 2000
_CHANCE = 0.025  # that a bound by samples is too high


def outside(model: Model) -> Tensor:
    """Find the share of each replicate's mass that is known to lie far from the data.

    In the plane, by grids, where peaks between the points of the finer one count as near; or by
    exact samples, where a model has them. Beyond the plane, by annealed importance sampling that
    converged. From samples it is the lower end of their Clopper–Pearson interval. What the data
    themselves have there, of heavy tails in many dimensions, is subtracted.

    Parameters
    ----------
    model : Model
        Trained model. Of its estimates by annealed importance sampling only those are used that
        metrics have already made.

    Returns
    -------
    Tensor of shape (R,)
        In float64, between 0 and 1. Not a number where it cannot be known: for images, normalisers
        that are not finite or did not converge, and models that can be neither summed nor sampled.
    """
    if len(model.dataset.event_shape) != 1:
        return torch.full((model.energy.replicates,), math.nan, dtype=torch.float64)
    data = model.dataset.sample(10_000, Streams(0, scope=("escapes",)))[0].double()
    near = _bounds(model, data)
    return (_share(model, near) - _is_far(data, near).double().mean()).clamp_min(0)


def _share(model: Model, near: Tensor) -> Tensor:
    """Share of the mass beyond bounds (d, 2), shape (R,)."""
    energy = model.energy
    unknown = torch.full((energy.replicates,), math.nan, dtype=torch.float64)
    if getattr(energy, "sample", None):
        x = model.samples(_SAMPLES)
        n = torch.full_like(unknown, _SAMPLES)
        return _at_least(_is_far(x, near).double().mean(1), n, x.isfinite().all(2).all(1))
    if energy.log_z is not None:
        return unknown
    if model.is_planar:
        return _summed(model, near)
    found = model.annealed
    if found is None or found.chains is None:
        return unknown
    points, weights = found.chains
    share = (weights * _is_far(points, near)).sum(1)
    effective, converged = (found.details[x] for x in ("effective_sample_size", "converged"))
    return _at_least(share, effective, converged == 1)


def _summed(model: Model, near: Tensor) -> Tensor:
    """Sum the mass beyond bounds in the plane: on the model's grid, and on one far wider.

    Without mass at the rim of the former, it can have missed a mode beyond.
    """
    grid, box = model.grid, model.dataset.box
    far = _is_far(grid.points, near)
    mass = -grid.energy.double() - grid.log_z[:, None] + grid.cell.double().log().sum()
    inner = (mass[:, ~far].exp().sum(1) + grid.hidden).log()
    rim = widen(box[0], _WIDENING, _CELLS), widen(box[1], _WIDENING, _CELLS)
    points, cell = lattice(rim, _CELLS, grid.points)
    points = points[_is_far(points, near)]
    wide = -energies(model.energy, points.expand(len(mass), -1, -1)).double()
    wide = wide.logsumexp(1) - grid.log_z + cell.double().log().sum()
    outer = torch.maximum(mass[:, far].logsumexp(1), wide)
    return (outer - torch.logaddexp(inner, outer)).exp().cpu()


def _bounds(model: Model, data: Tensor) -> Tensor:
    """Bounds of what is near, shape (d, 2)."""
    box = torch.tensor(model.dataset.box, dtype=torch.float64)
    mean, reach = data.mean(0), DEVIATIONS * data.std(0)
    return torch.stack(
        [torch.minimum(box[:, 0], mean - reach), torch.maximum(box[:, 1], mean + reach)], 1
    )


def _is_far(x: Tensor, near: Tensor) -> Tensor:
    """Whether points (..., d) lie beyond bounds, shape (...)."""
    low, high = near.to(x).unbind(1)
    return ((x < low) | (x > high)).any(-1)


def _at_least(share: Tensor, n: Tensor, known: Tensor) -> Tensor:
    """Lower end of the interval of a share of n samples; not a number where it is not known."""
    share, n = share.double().cpu(), n.double().cpu()
    hits = share * n
    ends = betaincinv(hits.clamp_min(1e-12).numpy(), (n - hits + 1).numpy(), _CHANCE)
    low = torch.from_numpy(ends)
    return torch.where(known.cpu(), torch.where(hits > 0, low, 0.0), math.nan)
