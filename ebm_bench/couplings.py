"""Flows of vectors, with the replicates side by side in every tensor.

The layers are those of normflows, which has one flow a module; written for stacked replicates
they cost little more for five than for one.
"""

import math

import torch
from normflows.utils.splines import (
    DEFAULT_MIN_DERIVATIVE,
    unconstrained_rational_quadratic_spline,
)
from torch import Tensor, nn

from ebm_bench.modules import Dense
from ebm_bench.streams import Streams

HIDDEN = 64  # units of the coupling networks
BINS, TAIL_BOUND = 8, 4.0  # of splines; beyond the bound they are the identity
LOG_SCALE_BOUND = 2.0  # of one affine coupling: keeps training stable
_UNIT_SLOPE = math.log(math.expm1(1 - DEFAULT_MIN_DERIVATIVE))  # of an untrained spline


class Coupling(nn.Module):
    """Move the second half of a vector by an invertible function that the first half sets.

    Parameters
    ----------
    dimension : int
        Of the vectors, at least 2.
    outputs : int
        Numbers that set the function of one coordinate.
    streams : Streams
        Where the initial weights are drawn.
    """

    def __init__(self, dimension: int, outputs: int, streams: Streams):
        super().__init__()
        self.split = [(dimension + 1) // 2, dimension // 2]
        last = Dense(HIDDEN, self.split[1] * outputs, streams)
        nn.init.zeros_(last.weight)  # an untrained coupling is the identity
        self.net = nn.Sequential(
            Dense(self.split[0], HIDDEN, streams),
            nn.SiLU(),
            Dense(HIDDEN, HIDDEN, streams),
            nn.SiLU(),
            last,
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map latent vectors (R, B, d) towards the data; also the log-determinant (R, B)."""
        return self._move(z, to_data=True)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (R, B, d) towards latent vectors; also the log-determinant (R, B)."""
        return self._move(x, to_data=False)

    def _move(self, x: Tensor, to_data: bool) -> tuple[Tensor, Tensor]:
        kept, moved = x.split(self.split, dim=2)
        settings = self.net(kept).unflatten(2, (self.split[1], -1))
        moved, log_det = self._transform(moved, settings, to_data)
        return torch.cat([kept, moved], dim=2), log_det.sum(2)


class Affine(Coupling):
    """Shift and scale (Dinh, Sohl-Dickstein and Bengio 2017)."""

    def __init__(self, dimension: int, streams: Streams):
        super().__init__(dimension, 2, streams)

    def _transform(self, moved: Tensor, settings: Tensor, to_data: bool) -> tuple[Tensor, Tensor]:
        shift, log_scale = settings.unbind(-1)
        log_scale = LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)
        if to_data:
            return moved * log_scale.exp() + shift, log_scale
        return (moved - shift) * (-log_scale).exp(), -log_scale


class Spline(Coupling):
    """Monotone rational-quadratic splines (Durkan et al. 2019)."""

    # Widths and heights of the bins, and derivatives at the inner knots.
    sizes = (BINS, BINS, BINS - 1)

    def __init__(self, dimension: int, streams: Streams):
        super().__init__(dimension, sum(self.sizes), streams)

    def _transform(self, moved: Tensor, settings: Tensor, to_data: bool) -> tuple[Tensor, Tensor]:
        # The spline's search for a bin fails on NaN: a diverged flow says so by its density.
        finite = settings.isfinite().all(-1) & moved.isfinite()
        knots = torch.where(finite.unsqueeze(-1), settings, 0)
        # One way solves a quadratic equation whose discriminant cancels in single precision.
        dtype = torch.float64 if to_data else moved.dtype
        widths, heights, slopes = knots.to(dtype).split(self.sizes, dim=-1)
        out, log_det = unconstrained_rational_quadratic_spline(
            torch.where(finite, moved, 0).to(dtype),
            widths,
            heights,
            slopes + _UNIT_SLOPE,
            inverse=to_data,
            tail_bound=TAIL_BOUND,
        )
        out = torch.where(finite, out, math.nan).to(moved.dtype)
        return out, torch.where(finite, log_det, math.nan).to(moved.dtype)


class Swap(nn.Module):
    """Exchange two coordinates, so that the next coupling moves the other one."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map (R, B, 2) to itself; the log-determinant is zero."""
        return z.flip(2), z.new_zeros(z.shape[:2])

    inverse = forward


class Linear(nn.Module):
    """Mix the coordinates by an invertible matrix (Kingma and Dhariwal 2018)."""

    def __init__(self, dimension: int, streams: Streams):
        super().__init__()
        self.weight = nn.Parameter(torch.linalg.qr(streams.normal(dimension, dimension)).Q)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map latent vectors (R, B, d) towards the data; also the log-determinant (R, B)."""
        return z @ self.weight, self._log_det(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (R, B, d) towards latent vectors; also the log-determinant (R, B)."""
        return torch.linalg.solve(self.weight, x, left=False), -self._log_det(x)

    def _log_det(self, x: Tensor) -> Tensor:
        return torch.linalg.slogdet(self.weight).logabsdet[:, None].expand(x.shape[:2])


class Chain(nn.Module):
    """Invertible layers, one after the other, from latent vectors to data."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map latent vectors (R, B, d) to data; also the log-determinant (R, B)."""
        log_det = z.new_zeros(z.shape[:2])
        for layer in self.layers:
            z, step = layer(z)
            log_det = log_det + step
        return z, log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (R, B, d) to latent vectors; also the log-determinant (R, B)."""
        log_det = x.new_zeros(x.shape[:2])
        for layer in reversed(self.layers):
            x, step = layer.inverse(x)
            log_det = log_det + step
        return x, log_det


def vector_flow(dimension: int, kind: str, streams: Streams) -> Chain:
    """Put a flow of vectors together.

    Parameters
    ----------
    dimension : int
        At least 2.
    kind : {"spline", "affine"}
        Of the couplings.
    streams : Streams
        Where the initial weights are drawn.
    """
    coupling, count = {"spline": (Spline, 3), "affine": (Affine, 8)}[kind]
    layers: list[nn.Module] = []
    for _ in range(count):
        layers.append(coupling(dimension, streams))
        # A learned rotation, but in the plane, where it only slows the fit down.
        layers.append(Swap() if dimension == 2 else Linear(dimension, streams))
    return Chain(layers)
