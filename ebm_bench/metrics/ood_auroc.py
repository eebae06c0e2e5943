"""Detection of out-of-distribution images by their energy."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import interpolate

from ebm_bench.datasets.images import Cifar10, FashionMnist, Mnist
from ebm_bench.datasets.pixels import Images
from ebm_bench.errors import InputError
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import energies
from ebm_bench.registry import register
from ebm_bench.streams import Streams

log = logging.getLogger("ebm_bench")

# Luma of red, green and blue: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)
_FAINT = 0.1


@register
@dataclass(eq=False, kw_only=True)
class OodAuroc(Metric):
    """Area under the ROC curve of the energy as a detector of foreign images.

    The chance that a foreign image has a higher energy than a held-out one. The main value is
    against ``other``, the other of MNIST and CIFAR-10 (or both), brought to size, bytes and logit
    space. The parts are each against one more kind: ``fashion_mnist`` (missing where those images
    are not prepared), ``noise`` (uniform pixels), ``shuffled`` (held-out images with their pixels
    in random order, which no model without correlations can tell), ``patches`` (held-out images
    with their patches in random order, four to a side), and the harder ``flipped`` (upside down),
    ``turned`` (a patch of half the size, turned by 180°) and ``faint`` (with noise of a tenth of
    the standard deviation of each pixel).

    Parameters
    ----------
    points : int
        Images of each kind.

    References
    ----------
    Du and Mordatch, "Implicit generation and modeling with energy-based models", NeurIPS 2019,
    arXiv:1903.08689.
    """

    points: Annotated[int, Ge(2)] = 500

    version = 2
    requires = ("pixels",)
    higher_is_better = True
    label = "OOD AUROC"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the energies of each replicate."""
        known = dataset.sample(self.points, streams.child("data"), split=self.split)
        shape = dataset.event_shape
        foreign = {
            "other": _to_logits(_others(dataset, self.points, streams.child("other")), dataset),
            "noise": _to_logits(streams.child("noise").uniform(self.points, *shape), dataset),
            "shuffled": _shuffle(known, streams.child("order")),
            "patches": _shuffle(known, streams.child("patches"), *_patch(shape)),
            "flipped": known.flip(3),
            "turned": _turn_patch(known),
            "faint": known
            + _FAINT * known.std(1, keepdim=True) * streams.child("faint").normal_like(known),
        }
        if (clothes := _clothes(dataset, self.points, streams.child("clothes"))) is not None:
            foreign["fashion_mnist"] = _to_logits(clothes, dataset)
        inside = energies(model.energy, known)
        parts = {k: auroc(inside, energies(model.energy, y)) for k, y in foreign.items()}
        return {"value": parts.pop("other"), **parts}


def auroc(inside: Tensor, outside: Tensor) -> Tensor:
    """Compute the chance that a value of the second set is higher, ties counting half.

    Parameters
    ----------
    inside, outside : Tensor of shape (R, N), (R, M)
        Values of points that belong, and of points that do not.

    Returns
    -------
    Tensor of shape (R,)
        Not a number where a value is not.
    """
    order = (outside[:, :, None] - inside[:, None, :]).sign()
    equal = outside[:, :, None] == inside[:, None, :]  # two infinities have no difference
    area = torch.where(equal, 0.0, order.double()).mean((1, 2)) / 2 + 0.5
    return torch.where(torch.cat([inside, outside], 1).isnan().any(1), math.nan, area)


def _others(dataset, n: int, streams: Streams) -> Tensor:
    """Draw held-out images of MNIST or CIFAR-10, as `_foreign`: of those that are not these."""
    others = [source for source in (Cifar10(), Mnist()) if source.name != dataset.name]
    return _foreign(others, dataset, n, streams)


def _clothes(dataset, n: int, streams: Streams) -> Tensor | None:
    """Draw held-out images of Fashion-MNIST, as `_foreign`; None where there are none."""
    source = FashionMnist()
    if source.name == dataset.name:
        return None
    try:
        return _foreign([source], dataset, n, streams)
    except InputError as error:
        log.info("ood_auroc: nothing is compared with Fashion-MNIST: %s", error)
        return None


def _foreign(others: Sequence[Images], dataset, n: int, streams: Streams) -> Tensor:
    """Draw as many held-out images of each set, as dequantised pixels of this size."""
    counts = [n // len(others) + (i < n % len(others)) for i in range(len(others))]
    sets = [
        _fit(source.to_pixels(source.sample(count, streams.child(source.name), "test")), dataset)
        for source, count in zip(others, counts, strict=True)
    ]
    pixels = torch.cat(sets, 1)
    levels = (256 * pixels).floor().clamp_max(255)
    return (levels + streams.uniform(*pixels.shape[1:], dtype=pixels.dtype)) / 256


def _fit(pixels: Tensor, dataset) -> Tensor:
    """Bring pixels (R, N, C, H, W) to the channels and the size of a dataset."""
    channels, *size = dataset.event_shape
    if pixels.shape[2] == 3 and channels == 1:
        luma = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device)
        pixels = (pixels * luma.view(3, 1, 1)).sum(2, keepdim=True)
    flat = pixels.expand(-1, -1, channels, -1, -1).flatten(0, 1)
    resized = interpolate(flat, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.unflatten(0, pixels.shape[:2])


def _to_logits(pixels: Tensor, dataset) -> Tensor:
    """Map dequantised pixels to the space of a dataset."""
    return torch.logit(dataset.lam + (1 - 2 * dataset.lam) * pixels)


def _turn_patch(images: Tensor) -> Tensor:
    """Turn the middle of each image by 180°."""
    height, width = images.shape[3:]
    rows = slice(height // 4, height - height // 4)
    columns = slice(width // 4, width - width // 4)
    turned = images.clone()
    turned[..., rows, columns] = images[..., rows, columns].flip(3, 4)
    return turned


def _patch(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of patches of which four fit to each side."""
    return max(1, shape[1] // 4), max(1, shape[2] // 4)


def _shuffle(images: Tensor, streams: Streams, height: int = 1, width: int = 1) -> Tensor:
    """Put the patches of each image in random order, its channels together.

    Rows and columns at the end that are too few for a patch stay where they are.
    """
    rows, columns = images.shape[3] // height, images.shape[4] // width
    whole = images[..., : rows * height, : columns * width]
    # (R, N, C, rows, height, columns, width) to (R, N, C, patches, pixels of one)
    cut = whole.unflatten(3, (rows, height)).unflatten(5, (columns, width)).transpose(4, 5)
    patches = cut.flatten(5).flatten(3, 4)
    order = streams.uniform(images.shape[1], rows * columns).argsort(2)
    mixed = patches.gather(3, order[:, :, None, :, None].expand(patches.shape)).view(cut.shape)
    result = images.clone()
    result[..., : rows * height, : columns * width] = mixed.transpose(4, 5).reshape(whole.shape)
    return result
