"""Maximum mean discrepancy between samples and data."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from ebm_bench.metrics.kernels import gaussian, median_distance, squared_discrepancy
from ebm_bench.metrics.samples import SampleDistance
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class MaximumMeanDiscrepancy(SampleDistance):
    """Squared maximum mean discrepancy of samples from held-out data, without bias.

    ``E k(X, X') + E k(Y, Y') − 2 E k(X, Y)`` with ``k(x, y) = exp(−‖x − y‖²/2h²)`` over pairs of
    different points; around a perfect model it scatters about 0 and may be negative. The bandwidth
    depends on the data alone, so that all models are compared by one kernel. Details that are
    much smaller than it hardly count.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    bandwidth : float
        h, in units of the median distance between held-out points.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A kernel two-sample test", JMLR 2012,
    https://jmlr.org/papers/v13/gretton12a.html.
    """

    bandwidth: Annotated[float, Gt(0)] = 1.0

    version = 1
    label = "squared MMD"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the discrepancy of points, each of shape (R, points, D)."""
        kernel = gaussian(self.bandwidth * median_distance(data))
        return squared_discrepancy(kernel, samples, data)
