"""The control that is not trained."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Untrained(Objective):
    """Leave the energy as it was fitted in closed form, without a step of training.

    With a network this is the base measure and random weights; with a Gaussian energy, the
    Gaussian of maximum likelihood; with the true energy, the truth.
    """

    trains = False

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Mean energy in nats of a batch, shape (R,), for diagnostics."""
        return energy(x).mean(1)
