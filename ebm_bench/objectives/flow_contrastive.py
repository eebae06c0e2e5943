"""Flow-contrastive estimation."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebm_bench import noise
from ebm_bench.energies.base import Energy
from ebm_bench.energies.flow import Flow
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.normaliser import Normaliser
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class FlowContrastive(Objective):
    """Noise-contrastive estimation whose noise is a flow that is trained against the energy.

    With ``G(x) = −E(x) − c − log q(x)`` the energy minimises the logistic loss
    ``−E_data log σ(G) − E_q log σ(−G)`` and the flow ``q`` maximises it, through its samples
    as well as its density. Both players move in each step: the gradient of one backward pass
    reaches the flow with its sign reversed. At equilibrium the loss is log 4. The flow starts
    at its maximum-likelihood fit and is a model of its own in the end.

    Parameters
    ----------
    noise_settings : dict
        Of the noise ``flow``, for its fit before the game.

    References
    ----------
    Gao, Nijkamp, Kingma, Xu, Dai and Wu, "Flow contrastive estimation of energy-based
    models", CVPR 2020. They alternate the players by the classifier's accuracy; here both
    move at once.
    """

    kind = "flow contrastive"
    noise = "flow"

    noise_settings: dict[str, Any] | None = None

    def build(self, energy: Energy) -> None:
        """Create the flow and the learned normaliser."""
        super().build(energy)
        shapes = {"event_shape": energy.event_shape, "replicates": energy.replicates}
        self.distribution = noise.create(self.noise, **shapes, **(self.noise_settings or {}))
        self.distribution.requires_grad_(True)
        self.normaliser = Normaliser(energy.replicates, energy.event_shape)

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Fit the flow by maximum likelihood, and start ``c`` at an estimate of log Z."""
        self.distribution.fit(data, streams)
        with torch.no_grad():
            points, log_noise = self.distribution.sample_with_log_prob(1000, streams)
            self.normaliser.fit(energy(points), log_noise)
        self.distribution.requires_grad_(True)

    @property
    def log_z(self) -> Tensor:
        """The log-normaliser that was learned, shape (R,)."""
        return self.normaliser.value

    @property
    def byproducts(self) -> dict[str, nn.Module]:
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

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        count = x.shape[1]
        points, log_noise, log_data = self.distribution.flow.sample_beside(x, streams)
        both = torch.cat([x, _Reversed.apply(points)], dim=1)
        log_q = _Reversed.apply(torch.cat([log_data, log_noise], dim=1))
        logit = -energy(both) - self.log_z[:, None] - log_q
        return softplus(-logit[:, :count]).mean(1) + softplus(logit[:, count:]).mean(1)


class _Reversed(torch.autograd.Function):
    """The identity, with a gradient of the opposite sign: what it passes to is maximised."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient
