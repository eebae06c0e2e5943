"""An energy of your own: a function whose exponential exp(−E) is the density, unnormalised."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import softplus

from ebm_bench.energies.base import Energy
from ebm_bench.nn.layers import Dense
from ebm_bench.registry import register
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True, repr=False)
class MyOwn(Energy):
    """A Gaussian base, with smooth experts that each add a bend.

    ``E(x) = ½‖u‖² + w·softplus(A u + b)`` with ``u = (x − location) / scale``.

    Parameters
    ----------
    experts : int
        Number of experts.
    """

    # `normalised = True` if log_z is known (write the property then); `smooth = False` if there
    # is no second derivative, as for relu: score matching refuses such an energy.

    # Settings: an annotation, which is checked, and a literal default.
    experts: Annotated[int, Ge(1)] = 64

    def build(self, streams: Streams) -> None:
        """Create the parameters of every replicate."""
        size = math.prod(self.event_shape)
        self.inner = Dense(size, self.experts, streams, gain=2.0, spread=1.0)
        # The last layer starts small, so that training starts at the base.
        self.outer = Dense(self.experts, 1, streams, gain=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        # location and scale are those of the data: the base class fits them.
        u = ((x - self.location) / self.scale).flatten(2)
        return 0.5 * u.square().sum(2) + self.outer(softplus(self.inner(u))).squeeze(2)
