"""Denoising score matching at many noise levels."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import stratified
from ebm_bench.objectives.noise_levels import OnLadder
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class MultiNoiseDenoising(OnLadder):
    """Predict the noise at many levels, from an energy that is told the level.

    ``mean ½‖σ ∇E(x + σε, σ) − ε‖²`` over levels σ from ``sigma`` to ``ratio sigma``, evenly spaced
    in log σ. The energy of the lowest level is the model; its optimum is the data density
    smoothed by a Gaussian of standard deviation ``sigma``.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise at the lowest level, in units of the data.
    ratio : float
        That of the highest level, in units of the lowest.
    levels : int
        Number of levels.

    References
    ----------
    Song and Ermon, "Generative modeling by estimating gradients of the data distribution", NeurIPS
    2019, arXiv:1907.05600: the weight σ² of a level that is taken here, for a network of scores.
    Li, Chen and Sommer, "Learning energy-based models in high-dimensional spaces with multi-scale
    denoising score matching", 2019, arXiv:1910.07762, have an energy that is not told the level.
    """

    search = {"sigma": (0.05, 0.1, 0.2), "ratio": (10.0, 30.0)}  # noqa: RUF012

    levels: Annotated[int, Ge(2)] = 10

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Denoising loss of a batch (R, B, *event_shape), shape (R,)."""
        t = (stratified(x, streams) * self.levels).floor() / (self.levels - 1)
        return self.denoise(energy, x, t, streams.normal_like(x))[1].mean(1)
