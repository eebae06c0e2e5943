"""Learned Stein discrepancy."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.nn.field import VectorField
from ebm_bench.objectives.adversary import pace, reversed_gradient
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class LearnedSteinDiscrepancy(Objective):
    """Make a critic network fail to tell the scores of model and data apart.

    ``mean[ s(x)·f(x) + vᵀ∇f(x) v ] − λ mean ‖f(x)‖²`` with the score ``s = −∇E`` and random signs
    ``v``: the energy minimises it and the critic ``f`` maximises it. The best critic is
    ``(s − s_data)/2λ``, and the loss then ``E‖s − s_data‖²/4λ``: with λ = ½ the Fisher divergence
    of score matching, without a second derivative of the energy. The gradient of one backward pass
    reaches the critic with its sign reversed. The energy moves in every so many steps only: a step
    of training is one of the critic, with a batch of its own.

    Parameters
    ----------
    penalty : float
        λ.
    critic_steps : int
        Updates of the critic for each of the energy; with 1 both are updated in each step.
    critic_rate : float
        Learning rate of the critic, as a multiple of the energy's.
    width : int
        Units in each of the two hidden layers of the critic.

    References
    ----------
    Grathwohl, Wang, Jacobsen, Duvenaud and Zemel, "Learning the Stein discrepancy for training and
    evaluating energy-based models without sampling", ICML 2020, arXiv:2002.05616. There ``v`` is
    normal; signs have the same mean and less variance.
    """

    kind = "score matching"
    requires = ("smooth",)
    maximises = ("critic",)
    search = {"critic_steps": (1, 5), "critic_rate": (1.0, 3.0)}  # noqa: RUF012

    penalty: Annotated[float, Gt(0)] = 0.5
    critic_steps: Annotated[int, Ge(1)] = 5
    critic_rate: Annotated[float, Gt(0)] = 1.0
    width: Annotated[int, Ge(1)] = 128

    def build(self, energy: Energy) -> None:
        """Create the critic, and let each player move in its turn."""
        super().build(energy)
        streams = Streams(0, energy.replicates)
        self.critic = VectorField(energy.event_shape, self.width, streams)
        pace(self.critic, rate=self.critic_rate)
        pace(energy, every=self.critic_steps)

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Draw the weights of the critic."""
        drawn = VectorField(energy.event_shape, self.width, streams.child("critic"))
        drawn.location.copy_(energy.location.flatten(2))
        drawn.scale.copy_(energy.scale.flatten(2))
        self.critic.load_state_dict(drawn.state_dict())

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Stein discrepancy of a batch (R, B, *event_shape), shape (R,)."""
        signs = streams.rademacher(*x.shape[1:], dtype=x.dtype)
        f, divergence = map(reversed_gradient, self.critic(x, signs))
        stein = divergence - (gradient(energy, x).flatten(2) * f).sum(2)
        return (stein - self.penalty * f.square().sum(2)).mean(1)
