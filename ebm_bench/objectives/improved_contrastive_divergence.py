"""Contrastive divergence with the gradient through its chains."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.chains import BesideChains
from ebm_bench.registry import register
from ebm_bench.samplers.langevin import Langevin
from ebm_bench.streams import Replay, Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ImprovedContrastiveDivergence(BesideChains):
    """Contrastive divergence whose chains are also drawn towards the model, and apart.

    ``mean E(x) − mean E(x⁻)`` plus an estimate of ``KL(chains ‖ model)``: ``mean E(x⁻) − H``, in
    which ``x⁻`` depends on the weights through a last Langevin step and the energy's own weights
    are constant. The entropy ``H`` of the chains is ``d mean log`` of the distance from each to
    the nearest of the others before the last step, in units of the energy's scale.

    Parameters
    ----------
    entropy : float
        Weight of the entropy; 1 is unbiased.
    persistent : bool
        Whether the chains continue from step to step.
    steps : int
        Langevin steps of each chain before each update, without the last.
    step_size : float
        Step size of Langevin dynamics, in units of the energy's scale.
    adjusted : bool
        Whether the steps but the last are accepted by the rule of Metropolis and Hastings.
    chains : int
        Number of chains; of plain ones at most the batch size.

    References
    ----------
    Du, Li, Tenenbaum and Mordatch, "Improved contrastive divergence training of energy-based
    models", ICML 2021, arXiv:2012.01316. Their entropy lacks the dimension d of Kozachenko and
    Leonenko, and has the weight 0.3. The divergence is added as they do, whereas in Hinton's
    objective, doi:10.1162/089976602760128018, it has a minus sign; at the truth its gradient is 0.
    """

    search = {"step_size": (0.03, 0.1, 0.3), "entropy": (0.3, 1.0)}  # noqa: RUF012

    entropy: Annotated[float, Ge(0)] = 1.0
    chains: Annotated[int, Ge(2)] = 128

    def build(self, energy: Energy) -> None:
        """Create the samplers, and room for the persistent chains."""
        super().build(energy)
        self.last = Langevin(steps=1, step_size=self.step_size)

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Contrastive divergence and divergence of the chains from the model, shape (R,)."""
        noise = streams.normal_like(self.start(x))
        before = self.samples(energy, x, streams)
        points = self.last.run(energy, before, Replay([noise]))
        step = self.step_size * energy.scale
        moved = before - 0.5 * step.square() * gradient(energy, before) + step * noise
        count = before.shape[1]
        data, held, through = (
            part.mean(1)
            for part in energy(torch.cat([x, points, moved], dim=1)).split(
                [x.shape[1], count, count], dim=1
            )
        )
        # The same points twice: the energy's own weights cancel, and the step's gradient is left.
        divergence = through - held - self.entropy * _entropy(moved, before, energy.scale)
        return data - held + divergence


def _entropy(points: Tensor, others: Tensor, scale: Tensor) -> Tensor:
    """Entropy of points (R, C, *event_shape) in nats up to a constant, by neighbours, (R,)."""
    u, others = (points / scale).flatten(2), (others / scale).flatten(2)
    with torch.no_grad():
        distances = torch.cdist(u, others)
        distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        nearest = distances.argmin(2, keepdim=True).expand_as(u)
    return u.shape[2] * torch.linalg.vector_norm(u - others.gather(1, nearest), dim=2).log().mean(1)
