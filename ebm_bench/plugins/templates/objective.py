"""An objective of your own: what it minimises, and from which paper it is."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from ebm_bench.derivatives import gradient
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True, repr=False)
class MyOwn(Objective):
    """Predict the noise that was added to the data from the model's score.

    Write the formula here: ``mean ½‖∇E(x + σε) − ε/σ‖²``. The first line is shown by
    ``ebm-bench list`` and on the leaderboard.

    Parameters
    ----------
    sigma : float
        Standard deviation of the added noise, in units of the data.

    References
    ----------
    Authors, "Title", where and when.
    """

    # What it asks of energies: "smooth" if the loss has the gradient ∇E in it, since training
    # then differentiates a second time; "log_z" if it needs a known normaliser.
    requires = ("smooth",)
    # Values that `ebm-bench tune` tries.
    search = {"sigma": (0.1, 0.2, 0.5)}  # noqa: RUF012

    # Settings: an annotation, which is checked, and a literal default.
    sigma: Annotated[float, Gt(0)] = 0.2

    # What the objective owns (a noise, a normaliser) is made in build(energy) and fitted to data
    # in fit(energy, data, streams); ebm_bench/objectives/noise_contrastive.py does both.

    def loss(self, energy: nn.Module, x: Tensor, streams: Streams) -> Tensor:
        """Compute the loss of a batch (R, B, *event_shape): one value a replicate, (R,)."""
        # R replicates are trained side by side. Random numbers come from `streams` alone, which
        # give each replicate its own; energy(x) is of shape (R, B), and is −log p up to a constant.
        # To anneal sigma, add a parameter `progress` behind `streams`: a tensor that goes from 0 to
        # 1 in the course of training. A counter of your own would be lost when a run is resumed.
        noise = streams.normal_like(x)
        residual = gradient(energy, x + self.sigma * noise) - noise / self.sigma
        return 0.5 * residual.flatten(2).square().sum(2).mean(1)
