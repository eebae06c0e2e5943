"""Energies that are continued to noise levels, E(x, t): t = 0 is the energy itself, t = 1 noise."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ebm_bench.derivatives import sweeps
from ebm_bench.derivatives.base import Affine
from ebm_bench.energies.base import Energy
from ebm_bench.energies.network import Network
from ebm_bench.streams import Streams

_FEATURES = 8  # of a level; the finest has two full waves between data and noise


class Path(Protocol):
    """How data become noise: ``x_t = m + α (x − m) + √v ε``, with the mean m of the data."""

    def amounts(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Share of the data and variance of the noise.

        Parameters
        ----------
        t : Tensor of shape (R, B, *1)
            Levels, 0 for the data and 1 for the end of the path.
        scale : Tensor of shape (R, 1, *event_shape)
            Standard deviations of the data.

        Returns
        -------
        share, variance : Tensor
            α and v, which broadcast to (R, B, *event_shape); 1 and 0 at level 0.
        """

    def rates(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiate both amounts by the level; arguments and results as of `amounts`."""


class Ladder(NamedTuple):
    """Gaussian smoothing: noise of standard deviation ``σ(t) = low ratio^t`` in all.

    The data of level 0 are those with the noise ``low``, if it is they that are modelled: levels
    add the variance ``σ(t)² − low²``.

    Attributes
    ----------
    low : float
        Standard deviation at level 0, in units of the data.
    ratio : float
        That at level 1 in units of ``low``; more than 1.
    """

    low: float
    ratio: float

    @property
    def log_ratio(self) -> float:
        """Derivative of ``log σ`` by the level."""
        return math.log(self.ratio)

    def sigma(self, t: Tensor) -> Tensor:
        """Compute the standard deviation of all the noise at levels, of their shape."""
        return self.low * torch.exp(self.log_ratio * t)

    def amounts(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Share of the data, which is 1, and variance of the noise."""
        return torch.ones_like(t), self.low**2 * torch.expm1(2 * self.log_ratio * t)

    def rates(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing, and ``2 σ² log ratio``."""
        return torch.zeros_like(t), 2 * self.log_ratio * self.sigma(t).square()


class Interpolant:
    """Linear interpolation to a Gaussian with the means and variances of the data."""

    def amounts(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Share ``1 − t`` of the data, and variance ``(t s)²`` of the noise."""
        return 1 - t, (t * scale).square()

    def rates(self, t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiate both amounts by the level."""
        return -torch.ones_like(t), 2 * t * scale.square()


class Levels(nn.Module):
    """What an objective owns to continue an energy to noise levels.

    ``E(x, t)`` is the energy of the point that a Gaussian fitted to the data would have moved to x
    by level t, ``m + s (x − m)/s_t`` with ``s_t² = α² s² + v``, plus ``Σ log(s_t/s)``: for all
    levels the same log Z. In networks an embedding of t is added to what the first layer gives,
    and another to the energy; both are 0 at level 0, and at all levels before training. Energies
    without layers have a method ``smoothed`` of their own.

    Parameters
    ----------
    energy : Energy
        One that declares ``levels``.
    path : Path
        From data to noise.
    """

    def __init__(self, energy: Energy, path: Path):
        super().__init__()
        self.path = path
        self._first: int | None = None
        if not isinstance(energy, Network):
            return
        weights = [getattr(layer, "weight", None) for layer in energy.layers]
        self._first = next(i for i, weight in enumerate(weights) if weight is not None)
        h = energy.location
        for layer in energy.layers[: self._first + 1]:
            h = layer(h)
        shape = (energy.replicates, _FEATURES)
        self.weight = nn.Parameter(torch.zeros(*shape, h.shape[2]).to(h))
        self.constant = nn.Parameter(torch.zeros(*shape, 1).to(h))
        self._spread = h.dim() - 3  # axes of the units of an image

    def at(self, energy: Energy, t: Tensor) -> "AtLevel":
        """Energy of points at levels, one for each.

        Parameters
        ----------
        energy : Energy
            That this was made for.
        t : Tensor of shape (R, B) or (R, 1)
            Levels from 0 to 1.
        """
        share, variance = self.path.amounts(_beside(t, energy.scale), energy.scale)
        if not isinstance(energy, Network):
            return _Smoothed(energy, share, variance)
        assert self._first is not None, "made for this energy"
        embedded = self._embedded(torch.sin(t.unsqueeze(2) * _waves(t)))
        return _Shifted(energy, share, variance, self._first, *embedded)

    def _embedded(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Shift of what the first layer gives, (R, B, C, *1), and of the energy, (R, B)."""
        shift = torch.bmm(features, self.weight)
        shift = shift.reshape(*shift.shape, *[1] * self._spread)
        return shift, torch.bmm(features, self.constant).squeeze(2)

    def derivatives(self, energy: Energy, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiate the energy by points and by their levels, in one pass.

        Parameters
        ----------
        energy, t
            As for `at`, a level for each point.
        x : Tensor of shape (R, B, *event_shape)
            Points.

        Returns
        -------
        gradient : Tensor of shape (R, B, *event_shape)
            ``∇E(x, t)``, differentiable in the weights.
        slope : Tensor of shape (R, B)
            ``∂E(x, t)/∂t``, likewise.
        """
        level = self.at(energy, t)
        if not sweeps.supports(level) or not isinstance(level, _Shifted):
            with torch.enable_grad():
                x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
                total = self.at(energy, t)(x).sum()
                gradient, slope = torch.autograd.grad(total, (x, t), create_graph=True)
            return gradient, slope
        level.count(x.shape[1])
        # Levels act on the network where points do: at the outputs of the first layer, and
        # through the scale of its inputs.
        u = h = (x - level.location) / level.scale
        lead, others = level.layers[: level.first + 1], level.layers[level.first + 1 :]
        for layer in lead:
            h = layer(h)
        of_outputs = of_inputs = sweeps.gradient(others, h)
        for layer in reversed(lead):
            of_inputs = layer.adjoint(of_inputs)
        pull = of_inputs + u
        waves = _waves(t)
        shift, constant = self._embedded(waves * torch.cos(t.unsqueeze(2) * waves))
        by_share, by_variance = self.path.rates(_beside(t, x), energy.scale)
        of_square = 2 * level.share * by_share * energy.scale.square() + by_variance
        widening = (1 - pull * u) * of_square / (2 * level.scale.square())  # by log s_t
        slope = (of_outputs * shift).flatten(2).sum(2) + constant + widening.flatten(2).sum(2)
        return pull / level.scale, slope

    def noised(self, energy: Energy, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Move data along the path, all of shape (R, B, *event_shape) but the levels (R, B)."""
        share, variance = self.path.amounts(_beside(t, x), energy.scale)
        return energy.location + share * (x - energy.location) + variance.sqrt() * noise


class AtLevel(ABC):
    """An energy at the levels of as many points; see `Levels.at`.

    Attributes
    ----------
    event_shape : tuple of int
        Shape of one point.
    location, scale : Tensor of shape (R, B or 1, *event_shape)
        Mean and standard deviations of the base measure at the levels.
    """

    def __init__(self, energy: Energy, share: Tensor, variance: Tensor):
        self.energy, self.share, self.variance = energy, share, variance
        self.event_shape = energy.event_shape
        self.location = energy.location
        self.scale = (share.square() * energy.scale.square() + variance).sqrt()

    def count(self, points: int) -> None:
        """Add to the evaluations of the energy."""
        self.energy.count(points)

    def split(self, sizes: Sequence[int]) -> Sequence["AtLevel"]:
        """Divide the points, for calculations in chunks."""
        parts = (_split(each, sizes) for each in self._parts())
        return [type(self)(self.energy, *part) for part in zip(*parts, strict=True)]

    def _parts(self) -> tuple:
        return self.share, self.variance

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""


class _Smoothed(AtLevel):
    """An energy that computes its own continuation."""

    def __call__(self, x: Tensor) -> Tensor:
        self.count(x.shape[1])
        return self.energy.smoothed(x, self.share, self.variance)  # type: ignore[operator]


class _Shifted(AtLevel):
    """A network whose first layer is shifted, and which sees points in units of their level."""

    energy: Network

    def __init__(
        self,
        energy: Network,
        share: Tensor,
        variance: Tensor,
        first: int,
        shift: Tensor,
        constant: Tensor,
    ):
        super().__init__(energy, share, variance)
        self.first, self.shift, self.constant = first, shift, constant
        layers, lead = list(energy.layers), energy.layers[first]
        assert isinstance(lead, Affine)
        self.layers = [*layers[:first], _ShiftedLayer(lead, shift), *layers[first + 1 :]]

    def _parts(self) -> tuple:
        return self.share, self.variance, self.first, self.shift, self.constant

    def __call__(self, x: Tensor) -> Tensor:
        self.count(x.shape[1])
        u = (x - self.location) / self.scale
        h = u
        for layer in self.layers:
            h = layer(h)
        widening = (self.scale / self.energy.scale).log().flatten(2).sum(2)
        base = 0.5 * u.flatten(2).square().sum(2)
        return h.squeeze(2) + base + widening + self.constant

    def directions(self) -> tuple[Tensor, bool]:
        """Directions whose curvatures under the network add up to its Laplacian: all of them."""
        return Network.directions(self.energy)


class _ShiftedLayer(Affine):
    """An affine layer with a bias for each point.

    Parameters
    ----------
    layer : Affine
        What is shifted.
    shift : Tensor of shape (R, B or 1, C, *1)
        Added to its outputs (R, B, C, *out_shape).
    """

    weight: Any
    bias: Any

    def __init__(self, layer: Affine, shift: Tensor):
        super().__init__()
        self.layer, self.weight = layer, layer.weight
        assert layer.bias is not None
        self.bias = layer.bias.view(len(shift), 1, *shift.shape[2:]) + shift

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return self.layer.linear(h) + self.bias

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return self.layer.linear(t)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of its linear part."""
        return self.layer.adjoint(g)

    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor | None:
        """Differentiate ``⟨g, linear(t)⟩`` by the weight."""
        return self.layer.weight_gradient(t, g)

    def bias_gradient(self, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, forward(h)⟩`` by the biases of the points."""
        return g.sum_to_size(self.bias.shape)


def stratified(x: Tensor, streams: Streams) -> Tensor:
    """Spread the points of a batch (R, B, ...) over [0, 1) evenly, shape (R, B)."""
    count = x.shape[1]
    places = torch.arange(count, dtype=x.dtype, device=x.device)
    # Rounding could make the last one 1.
    return ((places + streams.uniform(1, dtype=x.dtype)) / count).clamp_max(1 - 1e-6)


def log_base(energy: Energy, x: Tensor) -> Tensor:
    """Log-density of the Gaussian with the moments of the data, (R, B): the interpolant's end."""
    u = ((x - energy.location) / energy.scale).flatten(2)
    constant = energy.scale.log().flatten(1).sum(1, keepdim=True)
    return -0.5 * (u.square().sum(2) + u.shape[2] * math.log(2 * math.pi)) - constant


def _waves(t: Tensor) -> Tensor:
    """Frequencies of the features of levels."""
    return math.pi / 2 * torch.arange(1, _FEATURES + 1, dtype=t.dtype, device=t.device)


def _beside(t: Tensor, x: Tensor) -> Tensor:
    """Give levels (R, B) as many axes as points have."""
    return t.reshape(*t.shape, *[1] * (x.dim() - 2))


def _split(part, sizes: Sequence[int]) -> Sequence:
    """Divide a tensor along the points, and repeat what is the same for all of them."""
    if not isinstance(part, Tensor) or part.shape[1] == 1:
        return [part] * len(sizes)
    return part.split(list(sizes), 1)
