"""Kernel Stein discrepancy between the model and data."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.derivatives.for_samplers import gradient
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.kernels import Kernel, gaussian, median_distance, to_others
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class KernelSteinDiscrepancy(Metric):
    """Squared kernel Stein discrepancy of held-out data from the model, without bias.

    ``E[ s·s' k + (s − s')·(x − x') k/h² + (d/h² − ‖x − x'‖²/h⁴) k ]`` over pairs of different
    points, with the model's scores ``s = −∇E(x)`` and ``k = exp(−‖x − x'‖²/2h²)``. It is the
    difference from the true scores, ``E[ (s − s_p)·(s' − s_p') k ]``, found without these. It takes
    neither a normaliser nor samples of the model, in any dimension, and scatters about 0 for a
    perfect model. Like all averages of scores over data it hardly sees the weights of separated
    modes, nor mass far from the data. The energy must have no jumps.

    Parameters
    ----------
    points : int
        Held-out points.
    bandwidth : float
        h, in units of the median distance between held-out points.

    References
    ----------
    Liu, Lee and Jordan, "A kernelized Stein discrepancy for goodness-of-fit tests", ICML 2016,
    arXiv:1602.03253. Chwialkowski, Strathmann and Gretton, "A kernel test of goodness of fit",
    ICML 2016, arXiv:1602.02964.
    """

    points: Annotated[int, Ge(2)] = 1_000
    bandwidth: Annotated[float, Gt(0)] = 1.0

    version = 1
    label = "squared KSD"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over pairs of each replicate's held-out data."""
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        score = -gradient(model.energy, x)
        points = torch.cat([x.flatten(2), score.flatten(2)], 2).double()
        each = to_others(stein(self.bandwidth * median_distance(x.flatten(2))), points)
        # The infinitesimal jackknife, as for other averages over pairs.
        error = 2 * each.std(1) / self.points**0.5
        return {"value": each.mean(1), "standard_error": error}


def stein(bandwidth: Tensor) -> Kernel:
    """Make the Stein kernel of points with their scores, (R, N, 2D), from the Gaussian one."""
    width, kernel = bandwidth.view(-1, 1, 1).square(), gaussian(bandwidth)

    def evaluate(a: Tensor, b: Tensor) -> Tensor:
        (x, s), (y, t) = a.chunk(2, 2), b.chunk(2, 2)
        along = (s * x).sum(2).unsqueeze(2) - s @ y.mT + (t * y).sum(2).unsqueeze(1) - x @ t.mT
        trace = x.shape[2] - torch.cdist(x, y).square_() / width
        return kernel(x, y) * (s @ t.mT + (along + trace) / width)

    return evaluate
