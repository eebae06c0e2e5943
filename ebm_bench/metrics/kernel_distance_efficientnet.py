"""Kernel distance between samples and data in the features of a network."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class KernelDistanceEfficientnet(Metric):
    """Kernel distance of samples to held-out images in EfficientNet-Lite0 features.

    The squared maximum mean discrepancy with a cubic kernel, without bias: around a perfect
    model it scatters about 0. Not comparable with published KID: other features. Bińkowski et
    al. (2018), "Demystifying MMD GANs".

    Parameters
    ----------
    points : int
        Samples, and as many held-out images.
    """

    points: Annotated[int, Ge(2)] = 64

    version = 1
    requires = ("pixels",)
    label = "kernel distance (EfficientNet)"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        return {"value": kernel_distance(*model.features(self.points, self.split))}


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
