"""Flow-contrastive estimation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.adversary import reversed_gradient
from ebm_bench.objectives.classifier import NoiseClassifier
from ebm_bench.objectives.trained_flow import TrainedFlow
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class FlowContrastive(TrainedFlow, NoiseClassifier):
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
    search = {"flow_rate": (0.01, 0.03, 0.1), "energy_steps": (1, 5)}  # noqa: RUF012

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the data and as many samples."""
        return 2 * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Logistic loss of a batch (R, B, *event_shape), shape (R,)."""
        points, log_noise, log_data = self.distribution.flow.sample_beside(x, streams)
        log_q = torch.cat([log_data, log_noise], dim=1)
        points, log_q = reversed_gradient(points), reversed_gradient(log_q)
        return self.logistic_loss(energy, x, points, log_q)
