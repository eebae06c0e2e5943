"""Denoising score matching."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class DenoisingScoreMatching(Objective):
    """Predict the noise that was added to the data from the model's score.

    ``mean ½‖∇E(x̃) − ε/σ‖²`` with ``x̃ = x + σε``. Its optimum is the data density smoothed by
    a Gaussian of standard deviation σ, not the data density itself.

    Parameters
    ----------
    sigma : float
        Standard deviation of the added noise, in units of the data.

    References
    ----------
    Vincent, "A connection between score matching and denoising autoencoders", Neural
    Computation 2011, doi:10.1162/NECO_a_00142.
    """

    kind = "score matching"
    requires = ("smooth",)
    search = {"sigma": (0.05, 0.1, 0.2)}  # noqa: RUF012

    sigma: Annotated[float, Gt(0)] = 0.1

    @property
    def smoothing(self) -> float:
        """Standard deviation of the noise that the learned density is smoothed by."""
        return self.sigma

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Denoising loss of a batch (R, B, *event_shape), shape (R,)."""
        noise = streams.normal_like(x)
        residual = gradient(energy, x + self.sigma * noise) - noise / self.sigma
        return 0.5 * residual.flatten(2).square().sum(2).mean(1)
