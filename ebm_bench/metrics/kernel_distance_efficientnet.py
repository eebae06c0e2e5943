"""Kernel distance between samples and data in the features of a network."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.features import FeatureDistance
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class KernelDistanceEfficientnet(FeatureDistance):
    """Kernel distance of samples to held-out images in EfficientNet-Lite0 features.

    The squared maximum mean discrepancy with a cubic kernel, without bias at any number of
    samples: around a perfect model it scatters about 0, by its standard error or less. Not
    comparable with published KID: other features.

    Parameters
    ----------
    points : int
        Samples, and as many held-out images.

    References
    ----------
    Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv:1801.01401.
    """

    version = 1
    label = "kernel distance (EfficientNet)"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the distance between features, each of shape (R, points, F)."""
        value, error = kernel_distance(samples, data)
        return {"value": value, "standard_error": error}


def kernel_distance(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate the squared maximum mean discrepancy under ``(x·y / F + 1)³``.

    Parameters
    ----------
    x, y : Tensor of shape (R, N, F), (R, M, F)
        Features.

    Returns
    -------
    value, error : Tensor of shape (R,)
        The estimate, and its standard error from what each point adds to it (the infinitesimal
        jackknife): √2 times too large where both distributions are the same.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.mT / a.shape[2] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        """Mean of the kernel from each point to all others, (R, N)."""
        k = kernel(a, a)
        return (k.sum(2) - k.diagonal(dim1=1, dim2=2)) / (a.shape[1] - 1)

    x, y = x.double(), y.double()
    between = kernel(x, y)
    # What each point adds, less what it has in common with the other set.
    ours, theirs = within(x) - between.mean(2), within(y) - between.mean(1)
    variance = ours.var(1) / x.shape[1] + theirs.var(1) / y.shape[1]
    return ours.mean(1) + theirs.mean(1), 2 * variance.sqrt()
