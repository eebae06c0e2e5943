"""What objectives share that train an energy at many noise levels."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import Interpolant, Ladder, Levels, log_base
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.classifier import Normaliser
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class OnLadder(Objective):
    """An objective that denoises on a ladder of levels.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise at the lowest level.
    ratio : float
        That of the highest level, in units of the lowest.
    """

    kind = "score matching"
    requires = ("smooth", "levels")

    sigma: Annotated[float, Gt(0)] = 0.1
    ratio: Annotated[float, Gt(1)] = 30.0

    @property
    def smoothing(self) -> float:
        """Standard deviation of the noise that the learned density is smoothed by."""
        return self.sigma

    def build(self, energy: Energy) -> None:
        """Create the embedding of the level."""
        super().build(energy)
        self.ladder = Ladder(self.sigma, self.ratio)
        self.embedding = Levels(energy, self.ladder)

    def denoise(self, energy: Energy, x: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy points (R, B, *event_shape) at levels (R, B), and the loss of each, (R, B)."""
        points = x + self.deviation(t, x) * noise
        found = gradient(self.embedding.at(energy, t), points)
        return points, self.losses(found, t, noise)

    def deviation(self, t: Tensor, x: Tensor) -> Tensor:
        """Compute σ at levels (R, B), with as many axes as points have."""
        return self.ladder.sigma(t).reshape(*t.shape, *[1] * (x.dim() - 2))

    def losses(self, gradient: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Compare the gradient of the energy at noisy points with the noise, (R, B)."""
        residual = self.deviation(t, noise) * gradient - noise
        return 0.5 * residual.flatten(2).square().sum(2)


@dataclass(eq=False, kw_only=True, repr=False)
class ToKnownEnd(Objective):
    """An objective on levels of which the last is a known Gaussian, so that log Z is learned."""

    kind = "noise contrastive"

    def build(self, energy: Energy) -> None:
        """Create the embedding of the level and the learned log-normaliser."""
        super().build(energy)
        self.embedding = Levels(energy, Interpolant())
        self.normaliser = Normaliser(energy.replicates, energy.event_shape)

    @torch.no_grad()
    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Initialise ``c`` at an estimate of log Z."""
        noise = streams.normal(1000, *energy.event_shape, dtype=data.dtype)
        points = energy.location + energy.scale * noise
        self.normaliser.fit(energy(points), log_base(energy, points))

    @property
    def log_z(self) -> Tensor:
        """Learned log-normaliser in nats, shape (R,)."""
        return self.normaliser.value
