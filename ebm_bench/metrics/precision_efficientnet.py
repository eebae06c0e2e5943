"""Precision of samples in the features of a network."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.features import FeatureDistance
from ebm_bench.metrics.neighbours import covered
from ebm_bench.metrics.points import average
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class PrecisionEfficientnet(FeatureDistance):
    """Share of samples that lie among held-out images in EfficientNet-Lite0 features.

    A sample does where it is no further from some image than the third nearest of the other images
    is from that one. High for samples that look like the data, all alike or not: read it beside
    `recall_efficientnet`. Less than 1 for a perfect model too, so compare it with that of the
    controls. The error is that of the samples, for these images.

    Parameters
    ----------
    points : int
        Samples, and as many held-out images.

    References
    ----------
    Kynkäänniemi, Karras, Laine, Lehtinen and Aila, "Improved precision and recall metric for
    assessing generative models", NeurIPS 2019, arXiv:1904.06991.
    """

    points: Annotated[int, Ge(4)] = 64

    version = 1
    higher_is_better = True
    label = "precision (EfficientNet)"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Look for samples among data, both as features of shape (R, points, F)."""
        return average(covered(samples, data))
