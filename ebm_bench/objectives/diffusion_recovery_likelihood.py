"""Diffusion recovery likelihood."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.base import Above
from ebm_bench.derivatives.for_samplers import half_square, value_and_grad
from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import AtLevel, Ladder, Levels, stratified
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class DiffusionRecoveryLikelihood(Objective):
    """Recover data from a noisier copy: contrastive divergence on densities that are nearly normal.

    ``mean E(x, t) − mean E(x⁻, t)``, where the chains that end at ``x⁻`` start at the copy
    ``x̃ = x + sε`` and sample ``exp(−E(·, t) − ‖x̃ − ·‖²/2s²)``: its gradient approaches that of the
    likelihood of x given x̃. Levels run from the data upwards on a ladder, and x̃ is x moved up to
    the next one; at equilibrium ``E(·, t)`` is the density of the level. The model has no noise.

    Parameters
    ----------
    sigma : float
        About the standard deviation of the first noise, in units of the data.
    ratio : float
        That of all the noise at the end of the ladder, in units of ``sigma``.
    levels : int
        Number of levels at which data are recovered.
    steps : int
        Langevin steps of each chain.
    step_size : float
        Step size of Langevin dynamics, in units of s.
    adjusted : bool
        Whether the steps are accepted by the rule of Metropolis and Hastings.

    References
    ----------
    Gao, Song, Poole, Wu and Kingma, "Learning energy-based models by diffusion recovery
    likelihood", ICLR 2021, arXiv:2012.08125. They shrink data while noise is added, weight levels
    by 1/s, accept all Langevin steps, and learn the last level without x̃.
    """

    kind = "contrastive divergence"
    requires = ("levels",)
    samples_model = True
    search = {"step_size": (0.3, 0.7), "ratio": (10.0, 30.0)}  # noqa: RUF012

    sigma: Annotated[float, Gt(0)] = 0.1
    ratio: Annotated[float, Gt(1)] = 30.0
    levels: Annotated[int, Ge(1)] = 6
    steps: Annotated[int, Ge(1)] = 10
    step_size: Annotated[float, Gt(0)] = 0.7
    adjusted: bool = True

    def build(self, energy: Energy) -> None:
        """Create the embedding of the level and the sampler."""
        super().build(energy)
        self.ladder = Ladder(self.sigma, self.ratio)
        self.embedding = Levels(energy, self.ladder)
        self.sampler = Langevin(steps=self.steps, step_size=self.step_size, adjusted=self.adjusted)

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Energy of the data less that of the chains, shape (R,)."""
        t = (stratified(x, streams) * self.levels).floor() / self.levels
        x = self.embedding.noised(energy, x, t, streams.normal_like(x))
        low, high = (self.ladder.sigma(each) for each in (t, t + 1 / self.levels))
        step = (high.square() - low.square()).sqrt().reshape(*t.shape, *[1] * (x.dim() - 2))
        copies = x + step * streams.normal_like(x)
        level = self.embedding.at(energy, t)
        points = self.sampler.run(_Recovery(level, copies, step), copies, streams)
        return level(x).mean(1) - level(points).mean(1)


class _Recovery(Above):
    """Energy of points given their noisier copies: these and their noise are its base measure."""

    def __init__(self, level: AtLevel, location: Tensor, scale: Tensor):
        self.level, self.location, self.scale = level, location, scale
        self.event_shape = level.event_shape
        self._start = (location - level.location) / level.scale
        self._ratio = scale / level.scale

    def excess(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Energy of the level, but for a constant, and its slope by u."""
        of_level = torch.addcmul(self._start, self._ratio, u)
        excess, slope = value_and_grad(self.level, of_level)
        return excess + half_square(of_level), (slope + of_level) * self._ratio

    def __call__(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return self.level(x) + half_square((x - self.location) / self.scale)
