"""Time score matching, together with that of points: dual score matching."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import stratified
from ebm_bench.objectives.noise_levels import OnLadder
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class TimeScoreMatching(OnLadder):
    """Predict the noise, and its size, from the derivatives of an energy by point and level.

    ``mean ½‖σ ∇E(x̃, σ) − ε‖² + time/(8d) (∂E(x̃, σ)/∂log σ − d + ‖ε‖²)²`` with ``x̃ = x + σε`` in d
    dimensions, at all levels from ``sigma`` to ``ratio sigma``. The second term ties levels
    together: ``∫ ∂E/∂σ dσ`` is the log-ratio of the densities at the ends, so that the weights of
    modes that are far apart at the lowest level come from where they meet. Alone it would leave a
    factor common to all levels open. The optimum is the data density smoothed by ``sigma``.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise at the lowest level, in units of the data.
    ratio : float
        That of the highest level, in units of the lowest.
    time : float
        Weight of the derivative by the level.

    References
    ----------
    Guth, Kadkhodaie and Simoncelli, "Learning normalized image densities via dual score matching",
    NeurIPS 2025, arXiv:2506.05310. Choi, Meng, Song and Ermon, "Density ratio estimation via
    infinitesimal classification", AISTATS 2022, arXiv:2111.11010, learn the time score by
    integration by parts; the target given the data is also that of Yu, Klami, Hyvärinen, Korba and
    Chehab, "Density ratio estimation with conditional probability paths", ICML 2025,
    arXiv:2502.02300.
    """

    search = {"sigma": (0.05, 0.1, 0.2), "time": (1.0, 10.0)}  # noqa: RUF012

    time: Annotated[float, Gt(0)] = 1.0

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Loss of a batch (R, B, *event_shape), shape (R,)."""
        t, noise = stratified(x, streams), streams.normal_like(x)
        points = x + self.deviation(t, x) * noise
        gradient, slope = self.embedding.derivatives(energy, t, points)
        squares, dimension = noise.flatten(2).square().sum(2), x[0, 0].numel()
        off = slope / self.ladder.log_ratio - dimension + squares
        of_level = self.time / (8 * dimension) * off.square()
        return (self.losses(gradient, t, noise) + of_level).mean(1)
