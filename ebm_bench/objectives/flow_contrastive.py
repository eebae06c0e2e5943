"""Flow-contrastive estimation."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.energies.flow import Flow
from ebm_bench.objectives.classifier import NoiseClassifier
from ebm_bench.registry import register
from ebm_bench.streams import Streams

# Of 20 trained flows the share outside was below .004 or above .4, and the divergence of the
# former from the data at most .5 nats, of the latter at least 4.
_SAMPLES, _MARGIN, _ESCAPED = 500, 0.25, 0.1


@register
@dataclass(eq=False, kw_only=True, repr=False)
class FlowContrastive(NoiseClassifier):
    """Noise-contrastive estimation whose noise is a flow that is trained against the energy.

    With ``G(x) = −E(x) − c − log q(x)`` the energy minimises the logistic loss
    ``−E_data log σ(G) − E_q log σ(−G)`` and the flow ``q`` maximises it, through its samples
    as well as its density. Both are updated in each step: the gradient of one backward pass
    reaches the flow with its sign reversed. At equilibrium the loss is log 4. The flow starts
    at its maximum-likelihood fit, and is evaluated as a second model after training.

    Parameters
    ----------
    noise_settings : dict
        Settings of the noise ``flow``, for its fit before training.
    flow_rate : float
        Learning rate of the flow, as a part of the energy's. A flow that is as fast as the
        energy follows its errors out of the range of the data.
    energy_steps : int
        Updates of the energy for each of the flow; with 1 both are updated in each step.

    References
    ----------
    Gao, Nijkamp, Kingma, Xu, Dai and Wu, "Flow contrastive estimation of energy-based
    models", CVPR 2020, arXiv:1912.00589. They update the energy while the classifier's
    accuracy is below a threshold, and the flow otherwise; ``energy_steps`` fixes how often.
    """

    kind = "flow contrastive"
    noise = "flow"
    search = {"flow_rate": (0.01, 0.03, 0.1), "energy_steps": (1, 5)}  # noqa: RUF012

    flow_rate: Annotated[float, Gt(0)] = 0.1
    energy_steps: Annotated[int, Ge(1)] = 1

    def build(self, energy: Energy) -> None:
        """Create the flow and the learned log-normaliser."""
        super().build(energy)
        shape = (energy.replicates, 1, *energy.event_shape)
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.full(shape, -torch.inf))
        self.register_buffer("high", torch.full(shape, torch.inf))
        self._release()

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the flow by maximum likelihood, and initialise ``c`` at an estimate of log Z."""
        super().fit(energy, data, streams)
        low, high = data.amin(1, keepdim=True), data.amax(1, keepdim=True)
        margin = _MARGIN * (high - low)
        self.low.copy_(low - margin)
        self.high.copy_(high + margin)
        self._release()

    def _release(self) -> None:
        """Let the flow be trained, at its own rate and in its turn."""
        self.distribution.requires_grad_(True)
        for parameter in self.distribution.parameters():
            setattr(parameter, "rate", self.flow_rate)  # noqa: B010  # no attribute of parameters
            if self.energy_steps > 1:
                setattr(parameter, "every", self.energy_steps)  # noqa: B010

    @torch.no_grad()
    def escaped(self, energy: Energy, streams: Streams) -> Tensor:
        """Whether the flow has left the range of the data, shape (R,).

        Whether more than a tenth of its samples are outside the range of the data it was fitted
        to, widened by a quarter to each side. What it samples is then no noise to learn from.
        """
        points = self.distribution.sample(_SAMPLES, streams)
        inside = ((points >= self.low) & (points <= self.high)).flatten(2).all(2)
        return (~inside).double().mean(1) > _ESCAPED

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

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the data and as many samples."""
        return 2 * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        points, log_noise, log_data = self.distribution.flow.sample_beside(x, streams)
        log_q = torch.cat([log_data, log_noise], dim=1)
        return self.logistic_loss(energy, x, _Reversed.apply(points), _Reversed.apply(log_q))


class _Reversed(torch.autograd.Function):
    """Identity that reverses the sign of the gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient
