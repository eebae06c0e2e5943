"""Energy discrepancy."""

import math
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
class EnergyDiscrepancy(Objective):
    """Lower the energy of data below that of points which diffused there and back.

    ``mean log( w/M + 1/M Σ_j exp(E(x) − E(y_j)) )`` with ``y_j = x + √t ξ + √t ξ_j`` and one ξ for
    the M points. For small t it is score matching, for large t the likelihood.

    Parameters
    ----------
    time : float
        t, variance of the diffusion in units of the data squared.
    samples : int
        M, diffused points for each data point.
    weight : float
        w, which keeps the loss finite where all energies ``E(y_j)`` are far above ``E(x)``. Its
        share of the bias vanishes with M.

    References
    ----------
    Schröder, Ou, Lim, Li, Vollmer and Duncan, "Energy discrepancies: a score-independent loss for
    energy-based models", NeurIPS 2023, arXiv:2307.06431.
    """

    kind = "energy discrepancy"
    search = {"time": (0.01, 0.1, 1.0), "samples": (4, 16)}  # noqa: RUF012

    time: Annotated[float, Gt(0)] = 0.1
    samples: Annotated[int, Ge(1)] = 4
    weight: Annotated[float, Ge(0)] = 1.0

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Energy discrepancy of a batch (R, B, *event_shape), shape (R,)."""
        there = streams.normal_like(x).unsqueeze(1)
        back = streams.normal(self.samples, *x.shape[1:], dtype=x.dtype)
        points = x.unsqueeze(1) + math.sqrt(self.time) * (there + back)
        gaps = energy_gaps(energy, x, points)
        if self.weight > 0:
            gaps = torch.cat([torch.full_like(gaps[:, :1], math.log(self.weight)), gaps], dim=1)
        return torch.logsumexp(gaps, 1).mean(1) - math.log(self.samples)
