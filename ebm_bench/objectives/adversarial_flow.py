"""Maximum likelihood against a flow."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.adversary import reversed_gradient
from ebm_bench.objectives.trained_flow import TrainedFlow
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class AdversarialFlow(TrainedFlow):
    """Maximise the likelihood, with a flow that is trained to sample the model.

    ``E_data E − E_q[E + log q]``: the second part is ``log Z − KL(q ‖ model)``, so that it is a
    lower bound of the negative log-likelihood and equal to it where the flow ``q`` is the model.
    The flow maximises it while the energy minimises it: lowers that of data and raises that of
    samples. The flow starts at its maximum-likelihood fit, and is evaluated as a second model.

    Parameters
    ----------
    noise_settings : dict
        Settings of the noise ``flow``, for its fit before training.
    flow_rate : float
        Learning rate of the flow, as a part of the energy's. Nothing bounds the loss of an energy
        whose flow does not follow.
    energy_steps : int
        Updates of the energy for each of the flow; with 1 both are updated in each step.

    References
    ----------
    Grathwohl, Kelly, Hashemi, Norouzi, Swersky and Duvenaud, "No MCMC for me: amortized sampling
    for fast and stable training of energy-based models", ICLR 2021, arXiv:2010.04230. Their sampler
    is a generator of unknown density, whose entropy is bounded by a second variational model; that
    of a flow is exact. Kim and Bengio, "Deep directed generative models with energy-based
    probability estimation", 2016, arXiv:1606.03439, introduced the game.
    """

    kind = "maximum likelihood"
    search = {"flow_rate": (0.3, 1.0, 3.0)}  # noqa: RUF012

    flow_rate: Annotated[float, Gt(0)] = 1.0

    def noise_evaluations(self, batch_size: int) -> int:
        """Count as many samples as data."""
        return batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Bound of a batch (R, B, *event_shape), in nats, shape (R,)."""
        points, log_q = self.distribution.sample_with_log_prob(x.shape[1], streams)
        points, log_q = reversed_gradient(points), reversed_gradient(log_q)
        data, noise = energy(torch.cat([x, points], dim=1)).chunk(2, dim=1)
        return (data - noise - log_q).mean(1)
