"""Kernel distance between samples and data in the features of a network."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.features import FeatureDistance
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class KernelDistanceEfficientnet(FeatureDistance):
    """Kernel distance of samples to held-out images in EfficientNet-Lite0 features.

    The squared maximum mean discrepancy with a cubic kernel, without bias: around a perfect
    model it scatters about 0. Not comparable with published KID: other features.

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
        return {"value": kernel_distance(samples, data)}


def kernel_distance(x: Tensor, y: Tensor) -> Tensor:
    """Estimate the squared maximum mean discrepancy under ``(x·y / F + 1)³``.

    Parameters
    ----------
    x, y : Tensor of shape (R, N, F), (R, M, F)
        Features.

    Returns
    -------
    Tensor of shape (R,)
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.mT / a.shape[2] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k, n = kernel(a, a), a.shape[1]
        return (k.sum((1, 2)) - k.diagonal(dim1=1, dim2=2).sum(1)) / (n * (n - 1))

    x, y = x.double(), y.double()
    return within(x) + within(y) - 2 * kernel(x, y).mean((1, 2))
