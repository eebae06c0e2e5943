"""Constant-target energy matching."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.nearby import energy_gaps
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ConstantTargetEnergyMatching(Objective):
    """Regress a bounded function of energy differences to points nearby on the constant 1.

    ``mean (1 − tanh ½(E(y) − E(x)))²`` with ``y = x + εξ``. As x and y are as likely in either
    order but for the density p of the data, the minimum is where ``tanh ½(E(y) − E(x))`` is
    ``(p(x) − p(y)) / (p(x) + p(y))``: at ``E = −log p``. For small ε the loss is
    ``1 + (ε²/2) J`` with Hyvärinen's ``J`` of score matching.

    Parameters
    ----------
    epsilon : float
        Standard deviation of the steps to points nearby, in units of the data.
    ratio : int
        Points nearby for each data point.

    References
    ----------
    Zeng, Jiang, Hu and Shi, "Constant-target energy matching: a unified framework for continuous
    and discrete density estimation", 2026, arXiv:2605.09085. From its abstract are the bounded
    transform of energy differences and the target; that the transform is this one, and the steps
    Gaussian, is what follows here, and may differ from the paper.
    """

    kind = "noise contrastive"
    search = {"epsilon": (0.3, 1.0, 3.0), "ratio": (1, 2, 5)}  # noqa: RUF012

    epsilon: Annotated[float, Gt(0)] = 0.3
    ratio: Annotated[int, Ge(1)] = 1

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Squared error of a batch (R, B, *event_shape), shape (R,)."""
        noise = streams.normal(self.ratio, *x.shape[1:], dtype=x.dtype)
        gap = energy_gaps(energy, x, x.unsqueeze(1) + self.epsilon * noise)
        return (1 + torch.tanh(0.5 * gap)).square().mean((1, 2))
