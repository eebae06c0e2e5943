"""Score matching by finite differences."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class FiniteDifferenceScoreMatching(Objective):
    """Sliced score matching without derivatives by the data: by three energies on a line.

    ``(d/ε²) mean[ (E₊ − E₋)²/8 − (E₊ + E₋ − 2E₀) ]`` with ``E± = E(x ± v)``, ``E₀ = E(x)`` and v
    uniform on the sphere of radius ε. For a quadratic energy it is the sliced loss, exactly.

    Parameters
    ----------
    epsilon : float
        ε, in units of the data. Rounding of single precision grows as ``1/ε²``.

    References
    ----------
    Pang, Xu, Li, Song, Ermon and Zhu, "Efficient learning of generative models via
    finite-difference score matching", NeurIPS 2020, arXiv:2007.03317.
    """

    kind = "score matching"
    search = {"epsilon": (0.03, 0.1, 0.3)}  # noqa: RUF012

    epsilon: Annotated[float, Gt(0)] = 0.1

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Loss of a batch (R, B, *event_shape), shape (R,)."""
        normal = streams.normal_like(x)
        step = self.epsilon * torch.nn.functional.normalize(normal.flatten(2), dim=2).view_as(x)
        middle, ahead, behind = energy(torch.cat([x, x + step, x - step], dim=1)).chunk(3, dim=1)
        slope, bend = ahead - behind, (ahead - middle) + (behind - middle)
        dimension = x[0, 0].numel()
        return dimension / self.epsilon**2 * (slope.square() / 8 - bend).mean(1)
