"""Contracts of noise."""

import math
from typing import Any

import torch
from torch import Tensor

from ebm_bench.nn.flow import standard_normal_log_prob, standardisation
from ebm_bench.noise.base import Noise, triangular_log_prob
from ebm_bench.runs.contracts.base import (
    Contract,
    close,
    depends_on_others,
    foreign_draws,
    misshapen,
    no_tensor,
)
from ebm_bench.streams import Streams

_COORDINATES = 64  # that are compared with each other
# Of correlations: exact ones are off by rounding of float32, squared.
_ROUNDING = 1e-11
_LEAST, _MOST = 2**11, 2**14  # points of a replicate
_NUMBERS = 2**22  # in the points of all replicates
_PIECE = 512  # points together, as the memory of a call may grow with them
_FULL = 64  # dimensions up to which a reference has all correlations
_FALSE_ALARM = 1e-6  # probability that a density is refused that is right


def _noise_fault(noise: Noise, streams: Streams, dtype: torch.dtype | None = None) -> str:
    x = noise.sample(5, streams)
    if kind := no_tensor(x):
        return f"samples are {kind}"
    shape = (noise.replicates, 5, *noise.event_shape)
    if x.shape != shape:
        return f"samples of shape {tuple(x.shape)}, not {shape}"
    if dtype and x.dtype != dtype:
        return f"samples of {x.dtype} for data of {dtype}"
    found = noise.log_prob(x)
    if why := misshapen(found, x, axes=2):
        return f"log_prob: {why}"
    return _no_pair(noise.sample_with_log_prob(5, streams.child("pair")), noise, 5)


def _no_pair(pair: Any, noise: Noise, n: int) -> str:
    """Describe what are no points with their log-densities; empty if they are."""
    called = "sample_with_log_prob()"
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        many = f" of {len(pair)}" if isinstance(pair, tuple | list) else ""
        return f"{called} returns {type(pair).__name__}{many}, not a pair"
    x, log_prob = pair
    if kind := no_tensor(x):
        return f"{called}: points are {kind}"
    if x.shape != (shape := (noise.replicates, n, *noise.event_shape)):
        return f"{called}: points of shape {tuple(x.shape)}, not {shape}"
    return f"{called}: log-densities: {why}" if (why := misshapen(log_prob, x, axes=2)) else ""


def _single_fault(noise: Noise, streams: Streams) -> str:
    x = noise.sample(5, streams.child("single"))
    found, again, first = noise.log_prob(x), noise.log_prob(x), noise.log_prob(x[:, :1])
    if not found.isfinite().any():
        return "no log-density is finite"
    # What changes from call to call is another contract's.
    if torch.equal(found, again) and not close(first, found[:, :1]):
        return "the log-density of a point depends on other points"
    if depends_on_others(noise.log_prob, x):
        return "the log-density of a point depends on the points of other replicates"
    return ""


def _draws_fault(noise: Noise, streams: Streams) -> str:
    x = noise.sample(_COORDINATES, streams.child("coordinates")).detach().flatten(2).double()
    x = x[..., :: -(-x.shape[2] // _COORDINATES)]
    if (x == x[:, :1]).all():
        return "all points of a replicate are equal"
    x = x - x.mean(1, keepdim=True)
    x = x / x.norm(dim=1, keepdim=True)  # NaN where a coordinate is constant
    same = (x.mT @ x).abs().triu(1) > 1 - _ROUNDING
    if same.any():
        _, i, j = same.nonzero()[0].tolist()
        return f"coordinates {i} and {j} are the same number up to place and scale"
    return foreign_draws(lambda own: noise.sample(5, own), streams.child("draws"))


def _pairs_fault(noise: Noise, streams: Streams) -> str:
    pair = noise.sample_with_log_prob(8, streams.child("pairs"))
    if why := _no_pair(pair, noise, 8):
        return why
    x, log_prob = pair
    expected = noise.log_prob(x)
    if not torch.allclose(log_prob, expected, rtol=1e-3, atol=1e-3):
        return f"log-densities that are off by {(log_prob - expected).abs().max():.3g}"
    found, again = (noise.sample(8, streams.child("pairs")) for _ in range(2))
    if torch.equal(found, again) and not torch.allclose(x, found, rtol=1e-3, atol=1e-5):
        return "the points differ"
    return ""


def _density_fault(noise: Noise, streams: Streams, most: int = _MOST) -> str:
    """Compare samples and density by way of a Gaussian g that is fitted to other samples.

    Samples are of the density p if ``E_p[h g / (p + g)] = E_g[h p / (p + g)]`` for every h, as
    both are ∫ h p g / (p + g) (Meng and Wong, Statistica Sinica 6, 1996). For h = 1 they differ
    most if p does not integrate to one, and for the sign of the distance from the centre if its
    scale is another. All terms are bounded, so that `_improbable` holds for every density.
    """
    streams, size = streams.child("density"), math.prod(noise.event_shape)
    n = max(min(_MOST, max(most, _LEAST), _NUMBERS // (size * noise.replicates)), 2)
    with torch.no_grad():
        others, own = (_drawn(noise, n, streams.child(name)) for name in ("others", "own"))
        # Without tails, of which heavy ones have no moments.
        low, high = others.sort(1).values[:, [n // 20, n - 1 - n // 20]].split(1, dim=1)
        reference = _Gaussian(others.clamp(low, high))
        z = streams.child("drawn").normal(n, size, dtype=torch.float64)
        drawn = reference.move(z).to(own).view_as(own)
        middle = reference.log_prob(others).median(1, keepdim=True).values
        shares, inside = [], []
        for x in (own, drawn):
            log_p = torch.cat([noise.log_prob(part) for part in x.split(_PIECE, 1)], 1).double()
            log_g = reference.log_prob(x)
            shares.append((log_p - log_g).nan_to_num(-math.inf).sigmoid())
            inside.append((log_g > middle).double() * 2 - 1)
        by_own = torch.stack([1 - shares[0], (1 - shares[0]) * inside[0]]).mean(1)
        by_drawn = torch.stack([shares[1], shares[1] * inside[1]]).mean(1)
    wrong = _improbable(by_own - by_drawn, widths=torch.tensor([2.0, 4.0]).to(by_own))
    for k in wrong.nonzero().flatten().tolist():
        one, other = by_own[k].mean(), by_drawn[k].mean()
        return f"an integral is {one:.3f} by samples and {other:.3f} by the density"
    return ""


def _drawn(noise: Noise, n: int, streams: Streams) -> Tensor:
    """Draw in pieces, each from streams of its own."""
    starts = range(0, n, _PIECE)
    parts = [noise.sample(min(_PIECE, n - i), streams.child(str(i))) for i in starts]
    return torch.cat(parts, 1)


def _improbable(terms: Tensor, widths: Tensor) -> Tensor:
    """Tell rows of independent terms whose mean is hardly zero, (K, n) to (K,).

    By theorem 4 of Maurer and Pontil (2009, arXiv:0907.3740), for terms in intervals of given
    widths.
    """
    n, unlikely = terms.shape[1], math.log(2 * 2 * len(terms) / _FALSE_ALARM)
    bound = (2 * terms.var(1) * unlikely / n).sqrt() + widths * 7 * unlikely / (3 * (n - 1))
    return terms.mean(1).abs() > bound


class _Gaussian:
    """Gaussian with the moments of points (R, n, *event_shape), in double precision.

    In many dimensions without their correlations. Not that of `ebm_bench.noise`, as all runs
    would depend on its file.
    """

    def __init__(self, x: Tensor):
        flat = x.flatten(2).double()
        self.mean, self.scale = standardisation(flat)
        self.factor = None
        if flat.shape[2] <= _FULL:
            u, unit = (flat - self.mean) / self.scale, torch.eye(flat.shape[2]).to(flat)
            # Shrunk a little, as coordinates may be functions of each other.
            self.factor = torch.linalg.cholesky(u.mT @ u / u.shape[1] * (1 - 1e-3) + unit * 1e-3)

    def move(self, z: Tensor) -> Tensor:
        """Make samples from standard normal numbers (R, n, d)."""
        return self.mean + self.scale * (z if self.factor is None else z @ self.factor.mT)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats, shape (R, n)."""
        u = (x.flatten(2).double() - self.mean) / self.scale
        if self.factor is None:
            return standard_normal_log_prob(u) - self.scale.log().sum(2)
        return triangular_log_prob(u, self.factor) - self.scale.log().sum(2)


def _trained_fault(noise: Noise) -> str:
    trained = [name for name, p in noise.named_parameters() if p.requires_grad]
    return f"{', '.join(trained)} would be trained" if trained else ""


NOISE = Contract(
    "noise",
    "samples of shape (R, n, *event_shape) and log-densities of shape (R, B), finite, in the type "
    "of the data, for vectors and for images",
    "A buffer of a shape other than (R, 1, *event_shape), a sum over the last axis alone (use "
    "flatten(2).sum(2)), or a draw without dtype=",
    _noise_fault,
)
SINGLE = Contract(
    "noise",
    "the log-density of a point depends on this point alone, and is finite where samples are",
    "A mean, a maximum or a normalisation over the batch or over all replicates",
    _single_fault,
)
DRAWN = Contract(
    "noise",
    "numbers of its own for each replicate, point and coordinate, drawn from the streams",
    "One draw that is broadcast: streams.normal(n, *event_shape) has a number for each replicate, "
    "point and coordinate",
    _draws_fault,
)
PAIRED = Contract(
    "noise",
    "points that come with the log-density that they have, and are those of sample()",
    "sample_with_log_prob() is overridden and draws in another order than sample()",
    _pairs_fault,
)
MATCHED = Contract(
    "noise",
    "a density that integrates to one, and samples that are drawn from it",
    "The log-normaliser (a factor ½, log 2π or the logarithm of a scale is missing, or counted "
    "once instead of once a dimension), or other scales in sample() than in log_prob() (a variance "
    "for a standard deviation)",
    _density_fault,
)
FINAL = Contract(
    "noise",
    "nothing left to train once it is fitted",
    "An nn.Parameter that still requires a gradient: use register_buffer, or requires_grad_(False)",
    _trained_fault,
)
