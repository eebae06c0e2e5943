"""A flow that is trained against the energy."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.energies.flow import Flow
from ebm_bench.objectives.adversary import pace
from ebm_bench.objectives.classifier import BesideNoise
from ebm_bench.streams import Streams

# Of 20 trained flows the share outside was below .004 or above .4, and the divergence of the
# former from the data at most .5 nats, of the latter at least 4.
_SAMPLES, _MARGIN, _ESCAPED = 500, 0.25, 0.1
# A flow that was fitted to images has some pixel outside in nearly every sample: of MNIST 1 % of
# them, and at most 3 % of those of a sample.
_COORDINATES = 0.1


@dataclass(eq=False, kw_only=True, repr=False)
class TrainedFlow(BesideNoise):
    """An objective with two players: the energy minimises it, and a flow maximises it.

    The gradient of one backward pass reaches the flow with its sign reversed. The flow starts at
    its maximum-likelihood fit, and is evaluated as a second model after training.

    Parameters
    ----------
    noise_settings : dict
        Settings of the noise ``flow``, for its fit before training.
    flow_rate : float
        Learning rate of the flow, as a part of the energy's.
    energy_steps : int
        Updates of the energy for each of the flow; with 1 both are updated in each step.
    """

    noise = "flow"
    maximises = ("distribution",)

    flow_rate: Annotated[float, Gt(0)] = 0.1
    energy_steps: Annotated[int, Ge(1)] = 1

    def build(self, energy: Energy) -> None:
        """Create the flow, and room for the range of the data."""
        super().build(energy)
        shape = (energy.replicates, 1, *energy.event_shape)
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.full(shape, -torch.inf))
        self.register_buffer("high", torch.full(shape, torch.inf))
        self._release()

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the flow by maximum likelihood."""
        super().fit(energy, data, streams)
        low, high = data.amin(1, keepdim=True), data.amax(1, keepdim=True)
        margin = _MARGIN * (high - low)
        self.low.copy_(low - margin)
        self.high.copy_(high + margin)
        self._release()

    def _release(self) -> None:
        """Let the flow be trained, at its own rate and in its turn."""
        self.distribution.requires_grad_(True)
        pace(self.distribution, rate=self.flow_rate, every=self.energy_steps)

    @torch.no_grad()
    def escaped(self, energy: Energy, streams: Streams) -> Tensor:
        """Whether the flow has left the range of the data, shape (R,).

        Whether more than a tenth of its samples have a tenth or more of their coordinates outside
        the range of the data it was fitted to, widened by a quarter to each side. What it samples
        is then no noise to learn from.
        """
        points = self.distribution.sample(_SAMPLES, streams)
        inside = ((points >= self.low) & (points <= self.high)).flatten(2)
        outside = (~inside).double().mean(2) >= _COORDINATES
        return outside.double().mean(1) > _ESCAPED

    @property
    def byproducts(self) -> dict[str, Energy]:
        """The flow, as an energy whose normaliser is known."""
        flow = self.distribution.flow
        energy = Flow(
            event_shape=flow.event_shape,
            replicates=flow.replicates,
            kind=self.distribution.kind,
        )
        energy.flow = flow
        energy.to(flow.mean)
        energy.location.copy_(flow.mean)
        energy.scale.copy_(flow.scale)
        return {"flow": energy}
