"""Maximum likelihood, for energies whose normaliser is known."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class MaximumLikelihood(Objective):
    """Minimise the negative log-likelihood ``mean E(x) + log Z``.

    The reference for all other objectives, applicable where log Z is known: to flows, Gaussians
    and independent components.

    References
    ----------
    Fisher, "On the mathematical foundations of theoretical statistics", 1922,
    doi:10.1098/rsta.1922.0009.
    """

    kind = "maximum likelihood"
    requires = ("log_z",)

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Negative log-likelihood in nats of a batch (R, B, *event_shape), shape (R,)."""
        log_z = energy.log_z
        assert log_z is not None, "checked by build"
        return energy(x).mean(1) + log_z
