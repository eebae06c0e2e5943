"""Downloaded images, dequantised and mapped to the real line."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ebm_bench.datasets import cached
from ebm_bench.datasets.pixels import Images
from ebm_bench.datasets.splits import SPLITS
from ebm_bench.errors import unknown
from ebm_bench.registry import register

_VALIDATION = 5_000


@dataclass(eq=False, kw_only=True)
class _Downloaded(Images):
    """A downloaded set of images.

    The last 5,000 training images are the validation split, and not part of the training split.
    Pixels are memory-mapped bytes until they are drawn.
    """

    def pixels(self, split: str) -> np.ndarray:
        """Bytes of a split, mapped from the disk."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, np.ndarray]:
        train, test = (cached.load(self.name, f"{part}_images") for part in ("train", "test"))
        return {"train": train[:-_VALIDATION], "validation": train[-_VALIDATION:], "test": test}


@register
@dataclass(eq=False, kw_only=True)
class Mnist(_Downloaded):
    """Handwritten digits, 28 × 28 in grey, in logit space with λ = 0.001."""

    downloads = "mnist"
    licence = "CC BY-SA 3.0"
    citation = (
        "LeCun et al. 1998, Gradient-based learning applied to document recognition, "
        "doi:10.1109/5.726791"
    )
    lam = 1e-3
    space = "logit of 0.001 + 0.998 (pixel + u) / 256"
    event_shape = (1, 28, 28)


@register
@dataclass(eq=False, kw_only=True)
class FashionMnist(_Downloaded):
    """Articles of clothing, 28 × 28 in grey, in logit space with λ = 0.001."""

    downloads = "fashion_mnist"
    licence = "MIT"
    citation = (
        "Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms, arXiv:1708.07747"
    )
    lam = 1e-3
    space = "logit of 0.001 + 0.998 (pixel + u) / 256"
    event_shape = (1, 28, 28)


@register
@dataclass(eq=False, kw_only=True)
class Cifar10(_Downloaded):
    """Small photographs of ten classes, 32 × 32 in colour, in logit space with λ = 0.05."""

    downloads = "cifar10"
    licence = "none stated"
    citation = (
        "Krizhevsky 2009, Learning multiple layers of features from tiny images, "
        "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf"
    )
    lam = 0.05
    space = "logit of 0.05 + 0.9 (pixel + u) / 256"
    event_shape = (3, 32, 32)
