"""Base class of images of eight bits, dequantised and mapped to the real line."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebm_bench.datasets.base import Dataset
from ebm_bench.streams import Streams

_BATCH = 2048  # images that are held at once


@dataclass(eq=False, kw_only=True)
class Images(Dataset):
    """Images of eight bits, in logit space.

    A pixel k in 0 … 255 becomes ``x = (k + u) / 256`` with u uniform on [0, 1), drawn anew
    each time, and then ``y = logit(λ + (1 − 2λ) x)`` (Dinh et al., arXiv:1605.08803).
    Pixels are bytes until they are drawn.

    Attributes
    ----------
    lam : float
        How far the logit stays off 0 and 1.
    """

    kind = "image"
    knows = ("pixels",)
    lam = 0.0

    def size(self, split: str) -> int:
        """Count the images of a split.

        Raises
        ------
        InputError
            If there is no such split, or the data are not prepared.
        """
        return len(self.pixels(split))

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
        chosen = self.pixels(split)[indices.cpu().numpy()]
        pixels = torch.from_numpy(chosen).to(streams.device)
        pixels = pixels.reshape(*indices.shape, *self.event_shape)
        x = (pixels + streams.uniform(indices.shape[-1], *self.event_shape)) / 256
        return torch.logit(self.lam + (1 - 2 * self.lam) * x)

    def batches(self, streams: Streams, split: str = "train") -> Iterator[Tensor]:
        """Go through the images of a split once."""
        for indices in torch.arange(self.size(split)).split(_BATCH):
            yield self.batch(indices, streams, split)

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

    @abstractmethod
    def pixels(self, split: str) -> np.ndarray:
        """Return the bytes of a split, shape (N, C, H, W) or (N, H, W).

        Raises
        ------
        InputError
            If there is no such split.
        """
