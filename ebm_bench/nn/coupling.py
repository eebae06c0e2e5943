"""Flows of vectors, with the replicates side by side in every tensor.

What a flow costs on small batches is the number of its tensor operations, not their size. So
the weights of all couplings are stacked, vectors lie along columns, where operations over bins
and coordinates are fast, and samples and data can pass in one sweep, each its own way.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from ebm_bench.nn.layers import Dense
from ebm_bench.streams import Streams

HIDDEN = 64  # units of the coupling networks
BINS, TAIL_BOUND = 8, 4.0  # of splines; beyond the bound they are the identity
LEAST_BIN, LEAST_SLOPE = 1e-3, 1e-3  # a bin as a part of the interval
LOG_SCALE_BOUND = 2.0  # of one affine coupling: keeps training stable
UNIT_SLOPE = math.log(math.expm1(1 - LEAST_SLOPE))  # of an untrained spline

# Which way vectors go: 1 from latents to data, 0 back, or (R', 1, 1, 1) of both.
Way = float | Tensor


def affine(moved: Tensor, settings: Tensor, up: Way, sign: Way) -> tuple[Tensor, Tensor]:
    """Shift and scale (Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803).

    Parameters
    ----------
    moved : Tensor of shape (R', m, 1, B)
        Coordinates.
    settings : Tensor of shape (R', m, 2, B)
        Shift and logarithm of the scale, before it is bounded.
    up : float or Tensor of shape (R', 1, 1, 1)
        Whether to apply the function, 1, or its inverse, 0.

    Returns
    -------
    moved, log_det : Tensor of shape (R', m, 1, B)
    """
    shift, log_scale = settings.split(1, dim=2)
    log_det = (LOG_SCALE_BOUND * sign) * torch.tanh(log_scale / LOG_SCALE_BOUND)
    shifted = torch.lerp(moved - shift, moved, up)
    return torch.addcmul(up * shift, shifted, log_det.exp()), log_det


def spline(moved: Tensor, settings: Tensor, up: Way, sign: Way) -> tuple[Tensor, Tensor]:
    """Monotone rational-quadratic splines (Durkan et al. 2019, arXiv:1906.04032).

    Parameters
    ----------
    moved : Tensor of shape (R', m, 1, B)
        Coordinates.
    settings : Tensor of shape (R', m, 3 * BINS - 1, B)
        Logits of the widths and of the heights of the bins, and what the slopes at the inner
        knots are made of.
    up : float or Tensor of shape (R', 1, 1, 1)
        Whether to apply the inverse of the spline, 1, or the spline, 0.

    Returns
    -------
    moved, log_det : Tensor of shape (R', m, 1, B)
    """
    sizes, slopes = settings.split([2 * BINS, BINS - 1], dim=2)
    parts = sizes.unflatten(2, (2, BINS)).softmax(3)
    # Knots are sums of bins: one small matrix product. The first one is the lower end.
    length, least = 2 * TAIL_BOUND, 2 * TAIL_BOUND * LEAST_BIN
    sums = parts.new_full((BINS + 1, BINS), length - BINS * least).tril(-1)
    smallest = least * torch.arange(BINS + 1, dtype=parts.dtype, device=parts.device) - TAIL_BOUND
    x_knots, y_knots = (sums @ parts + smallest.unsqueeze(1)).unbind(2)
    end = torch.ones_like(moved)
    slopes = torch.cat([end, LEAST_SLOPE + softplus(slopes + UNIT_SLOPE), end], dim=2)

    # At the ends the spline meets the identity: what is beyond them is added to its value.
    inside = moved.clamp(-TAIL_BOUND, TAIL_BOUND)
    with torch.no_grad():
        searched = _either(up, lambda: y_knots, lambda: x_knots)[:, :, 1:-1]
        left = (inside >= searched).sum(2, keepdim=True)
        ends = torch.cat([left, left + 1], dim=2)
    (x, x_next), (y, y_next), (slope, slope_next) = (
        knots.gather(2, ends).split(1, dim=2) for knots in (x_knots, y_knots, slopes)
    )
    width, height = x_next - x, y_next - y
    mean_slope = height / width
    bend = torch.sub(slope + slope_next, mean_slope, alpha=2)
    start, size = _either(up, lambda: y, lambda: x), _either(up, lambda: height, lambda: width)
    part = (inside - start) / size
    t = _either(up, lambda: _root(part, slope, mean_slope, bend), lambda: part)
    bent = bend * t * (1 - t)
    below = mean_slope + bent
    out = _either(
        up,
        lambda: torch.addcmul(x, width, t),
        lambda: torch.addcmul(y, height * t, torch.lerp(slope, mean_slope, t) / below),
    )
    log_slope = torch.log((torch.lerp(slope, slope_next, t) - bent) * (mean_slope / below).square())
    # The slope beyond is 1, and not only to rounding. What is missing stays so.
    return out + (moved - inside), (moved == inside) * -sign * log_slope


def _root(part: Tensor, slope: Tensor, mean_slope: Tensor, bend: Tensor) -> Tensor:
    """Where in a bin the spline has a part of its rise, in a form that does not cancel."""
    b = slope - part * bend
    c = mean_slope * part
    # Positive, but for rounding.
    discriminant = torch.addcmul(b * b, mean_slope - b, c, value=4).clamp_min(1e-12)
    return 2 * c / (b + discriminant.sqrt())


def _either(up: Way, above: Callable[[], Tensor], below: Callable[[], Tensor]) -> Tensor:
    """Evaluate what is needed, and choose where both are. Neither may be infinite."""
    if isinstance(up, float):
        return above() if up else below()
    return torch.lerp(below(), above(), up)


COUPLINGS = {"spline": (spline, 3 * BINS - 1), "affine": (affine, 2)}


class VectorFlow(nn.Module):
    """Couplings, each followed by a map that mixes the coordinates.

    A coupling moves the second half of a vector by an invertible function that a network sets
    from the first half. The mixing is a learned matrix (arXiv:1807.03039), but in the
    plane, where it only slows the fit down: there the coordinates are exchanged.

    Parameters
    ----------
    dimension : int
        At least 2.
    kind : {"spline", "affine"}
        Kind of the couplings.
    count : int
        Number of couplings, L.
    streams : Streams
        Source of the initial weights.

    Attributes
    ----------
    weights, biases : list of torch.nn.Parameter
        Weights (R, L, n_in, n_out) and biases (R, L, 1, n_out) of the networks' three layers.
    mixing : torch.nn.Parameter or None
        Matrices (R, L, d, d).
    """

    def __init__(self, dimension: int, kind: str, count: int, streams: Streams):
        super().__init__()
        self.split = [(dimension + 1) // 2, dimension // 2]
        self.transform, settings = COUPLINGS[kind]
        layers, mixing = [], []
        for _ in range(count):
            last = Dense(HIDDEN, self.split[1] * settings, streams)
            nn.init.zeros_(last.weight)  # an untrained coupling is the identity
            first, second = Dense(self.split[0], HIDDEN, streams), Dense(HIDDEN, HIDDEN, streams)
            layers.append((first, second, last))
            if dimension > 2:
                mixing.append(torch.linalg.qr(streams.normal(dimension, dimension)).Q)

        def stacked(name: str) -> nn.ParameterList:
            return nn.ParameterList(
                torch.stack([getattr(layer, name).data for layer in same], dim=1)
                for same in zip(*layers, strict=True)
            )

        self.weights, self.biases = stacked("weight"), stacked("bias")
        self.mixing = nn.Parameter(torch.stack(mixing, dim=1)) if mixing else None

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map latent vectors (R, B, d) to data; also the log-determinant (R, B)."""
        return self._sweep([z], [True])[0]

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (R, B, d) to latent vectors; also the log-determinant (R, B)."""
        return self._sweep([x], [False])[0]

    def both(self, z: Tensor, x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Compute `forward` of ``z`` and `inverse` of ``x``, of one shape, in one sweep."""
        first, second = self._sweep([z, x], [True, False])
        return first, second

    def _sweep(self, points: list[Tensor], ups: list[bool]) -> list[tuple[Tensor, Tensor]]:
        """Pass the couplings, sets of points side by side, each of them up or down."""
        up: Way = float(ups[0])
        if len(ups) > 1:
            up = points[0].new_tensor(ups).repeat(len(points[0])).view(-1, 1, 1, 1)
        sign = 2 * up - 1
        if self.mixing is None:
            points = [x if u else x.flip(2) for x, u in zip(points, ups, strict=True)]
        v = torch.stack(points, dim=1).flatten(0, 1)
        mixing, volume = self._mixing(v, ups)
        if mixing:
            v = v @ mixing[0]
        kept, moved = v.split(self.split, dim=2)
        log_det = volume
        layers = (_in_order([p] * len(ups), ups) for p in (*self.weights, *self.biases))
        for i, (w1, w2, w3, b1, b2, b3) in enumerate(zip(*layers, strict=True)):
            h = silu(torch.baddbmm(b1, kept, w1))
            h = silu(torch.baddbmm(b2, h, w2))
            # Points along the rows of the result, as the transform goes through them.
            settings = torch.baddbmm(b3.mT, w3.mT, h.mT)
            settings = settings.unflatten(1, (self.split[1], -1))
            changed, step = self.transform(moved.mT.unsqueeze(2), settings, up, sign)
            moved = changed.squeeze(2).mT
            log_det = log_det + step.sum((1, 2))
            if mixing:
                v = torch.cat([kept, moved], dim=2) @ mixing[i + 1]
                kept, moved = v.split(self.split, dim=2)
            else:
                kept, moved = moved, kept
        points = torch.cat([kept, moved], dim=2).unflatten(0, (-1, len(ups))).unbind(1)
        if self.mixing is None:
            points = [x if u else x.flip(2) for x, u in zip(points, ups, strict=True)]
        log_dets = log_det.unflatten(0, (-1, len(ups))).unbind(1)
        return list(zip(points, log_dets, strict=True))

    def _mixing(self, v: Tensor, ups: list[bool]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Matrices around the couplings, from the first to the last, and their log-determinant.

        Up they are the identity and each coupling's own; down the inverses in reverse.
        """
        if self.mixing is None:
            return (), v.new_zeros(len(v), 1)
        own: Tensor = self.mixing
        identity = torch.eye(own.shape[2], dtype=own.dtype, device=own.device)
        own = torch.cat([identity.expand_as(own[:, :1]), own], dim=1)
        inverse = own if all(ups) else torch.linalg.inv(own)
        volume = torch.linalg.slogdet(self.mixing).logabsdet.sum(1)
        volumes = torch.stack([volume if u else -volume for u in ups], dim=1)
        return _in_order([own if u else inverse for u in ups], ups), volumes.view(-1, 1)


def _in_order(weights: list[Tensor], ups: list[bool]) -> tuple[Tensor, ...]:
    """Weights (R, L, ...) as each set of points meets them: L of (R', ...)."""
    pairs = zip(weights, ups, strict=True)
    return torch.stack([w if u else w.flip(1) for w, u in pairs], dim=1).flatten(0, 1).unbind(1)
