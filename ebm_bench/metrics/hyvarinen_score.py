"""Hyvärinen score of held-out data."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import curvature
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average, in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class HyvarinenScore(Metric):
    """Average of ``½‖∇E‖² − ΔE`` over held-out data: a proper score that needs no normaliser.

    The Laplacian is estimated with random signs, whose noise is part of the standard error.
    NaN for energies that are not smooth: it is not a proper score where the gradient jumps.

    Parameters
    ----------
    points : int
        Held-out points.
    probes : int
        Random directions per point.

    References
    ----------
    Hyvärinen, "Estimation of non-normalized statistical models by score matching", JMLR 2005,
    https://jmlr.org/papers/v6/hyvarinen05a.html.
    Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian
    smoothing splines", 1990, doi:10.1080/03610919008812866.
    """

    points: Annotated[int, Ge(2)] = 500
    probes: Annotated[int, Ge(1)] = 1

    version = 1
    label = "Hyvärinen score"
    second_derivatives = True

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average each replicate's held-out data."""
        if not model.energy.smooth:
            return {"value": torch.full((streams.replicates,), math.nan)}
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        probes = streams.child("probes")

        def score(chunk: Tensor) -> Tensor:
            v = probes.rademacher(self.probes, *chunk.shape[1:], dtype=chunk.dtype)
            gradient, along = curvature(model.energy, chunk, v)
            squared = gradient.detach().flatten(2).square().sum(2)
            return 0.5 * squared - along.detach() / self.probes

        return average(in_chunks(score, x))
