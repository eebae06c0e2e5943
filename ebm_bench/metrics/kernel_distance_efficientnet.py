"""Kernel distance between samples and data in the features of a network."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.features import FeatureDistance
from ebm_bench.metrics.kernels import squared_discrepancy
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
        return squared_discrepancy(cubic, samples, data)


def cubic(a: Tensor, b: Tensor) -> Tensor:
    """Evaluate the kernel ``(x·y / F + 1)³`` at features (R, N, F), (R, M, F)."""
    return (a @ b.mT / a.shape[2] + 1) ** 3
