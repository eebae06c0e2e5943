"""Recall of samples in the features of a network."""

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
class RecallEfficientnet(FeatureDistance):
    """Share of held-out images that lie among samples in EfficientNet-Lite0 features.

    An image does where it is no further from some sample than the third nearest of the other
    samples is from that one. Low for samples that show a part of the data only. Scattered samples
    lie far from each other and cover much: read it beside `precision_efficientnet`. Less than 1
    for a perfect model too. The error is that of the images, for these samples.

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
    label = "recall (EfficientNet)"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Look for data among samples, both as features of shape (R, points, F)."""
        return average(covered(data, samples))
