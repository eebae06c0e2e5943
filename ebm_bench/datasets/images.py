"""Images, dequantised and mapped to the real line."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebm_bench.datasets import download
from ebm_bench.datasets.base import Dataset
from ebm_bench.errors import unknown
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_VALIDATION = 5_000
_SPLITS = ("train", "validation", "test")


@dataclass(eq=False, kw_only=True)
class _Images(Dataset):
    """Images of eight bits, in logit space.

    A pixel k in 0 … 255 becomes ``x = (k + u) / 256`` with u uniform on [0, 1), drawn anew
    each time, and then ``y = logit(λ + (1 − 2λ) x)`` (Dinh et al., arXiv:1605.08803). The
    last 5,000 training images are the validation split, and not part of the training split. Pixels
    are memory-mapped bytes until they are drawn.

    Attributes
    ----------
    lam : float
        How far the logit stays off 0 and 1.
    space : str
        The map in words, for tables.
    """

    lam = 0.0
    space = ""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (C, H, W)."""

    def size(self, split: str) -> int:
        """Count the images of a split.

        Raises
        ------
        InputError
            If there is no such split, or the data are not prepared.
        """
        return len(self._pixels(split))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw images with replacement, shape (R, n, C, H, W), in logit space."""
        return self.batch(streams.integers(self.size(split), n), streams, split)

    def batch(self, indices: Tensor, streams: Streams, split: str = "train") -> Tensor:
        """Take chosen images of a split and dequantise them.

        Parameters
        ----------
        indices : Tensor of shape (R, n) or (n,)
            Which images, for each replicate or the same for all.
        streams : Streams
            Where the noise of the dequantisation comes from.
        split : {"train", "validation", "test"}
            Where the images are taken from.

        Returns
        -------
        Tensor of shape (R, n, C, H, W)
        """
        chosen = self._pixels(split)[indices.cpu().numpy()]
        pixels = torch.from_numpy(chosen).to(streams.device)
        pixels = pixels.reshape(*indices.shape, *self.event_shape)
        x = (pixels + streams.uniform(indices.shape[-1], *self.event_shape)) / 256
        return torch.logit(self.lam + (1 - 2 * self.lam) * x)

    def to_pixels(self, y: Tensor) -> Tensor:
        """Map points back to pixels in [0, 1]; what lies beyond is clipped. Shape of ``y``."""
        return ((torch.sigmoid(y) - self.lam) / (1 - 2 * self.lam)).clamp(0, 1)

    def log_det(self, y: Tensor) -> Tensor:
        """Log-determinant of the map from pixels in [0, 1] to logit space.

        A density p of logit space has ``(−log p(y) − log_det(y)) / (D log 2) + 8`` bits per
        dimension of the original images.

        Parameters
        ----------
        y : Tensor of shape (..., C, H, W)
            Points of logit space.

        Returns
        -------
        Tensor of shape (...)
        """
        # dy/dx = (1 − 2λ) / (s (1 − s)), with s = sigmoid(y).
        slope = math.log(1 - 2 * self.lam) - logsigmoid(y) - logsigmoid(-y)
        return slope.sum((-3, -2, -1))

    def _pixels(self, split: str) -> np.ndarray:
        """Bytes of a split, mapped from the disk."""
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        if split == "test":
            return self._test
        parts = {"train": slice(None, -_VALIDATION), "validation": slice(-_VALIDATION, None)}
        return self._train[parts[split]]

    @cached_property
    def _train(self) -> np.ndarray:
        return download.load(self.name, "train_images")

    @cached_property
    def _test(self) -> np.ndarray:
        return download.load(self.name, "test_images")


@register
@dataclass(eq=False, kw_only=True)
class Mnist(_Images):
    """Handwritten digits, 28 × 28 in grey, in logit space with λ = 0.001."""

    version = 1
    kind = "image"
    knows = ("pixels",)
    licence = "CC BY-SA 3.0"
    citation = (
        "LeCun et al. 1998, Gradient-based learning applied to document recognition, "
        "doi:10.1109/5.726791"
    )
    lam = 1e-3
    space = "logit of 0.001 + 0.998 (pixel + u) / 256"

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (C, H, W)."""
        return (1, 28, 28)


@register
@dataclass(eq=False, kw_only=True)
class Cifar10(_Images):
    """Small photographs of ten classes, 32 × 32 in colour, in logit space with λ = 0.05."""

    version = 1
    kind = "image"
    knows = ("pixels",)
    licence = "none stated"
    citation = (
        "Krizhevsky 2009, Learning multiple layers of features from tiny images, "
        "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf"
    )
    lam = 0.05
    space = "logit of 0.05 + 0.9 (pixel + u) / 256"

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (C, H, W)."""
        return (3, 32, 32)
