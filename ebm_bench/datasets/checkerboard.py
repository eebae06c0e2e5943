"""A checkerboard."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ebm_bench.datasets.planar import Planar
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class Checkerboard(Planar):
    """Uniform on the squares of one colour of a 4 × 4 board that covers [−4, 4]².

    The density jumps at the edges of the squares. Score matching assumes that it does not:
    its loss is not a distance to this density, and the score, 0 within the squares and not
    defined elsewhere, is not offered to metrics.

    Parameters
    ----------
    squares : int
        Number of squares along a side of the board, whose size is fixed.
    """

    squares: Literal[2, 4, 8, 16] = 4

    knows = ("log_prob", "grid", "entropy")
    citation = "Grathwohl et al. 2019, FFJORD, arXiv:1810.01367"
    box = ((-4.0, 4.0), (-4.0, 4.0))

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, 2)."""
        pairs = self.squares // 2
        square = streams.integers(self.squares * pairs, n)
        row = square // pairs
        column = square % pairs * 2 + row % 2
        # Kept off 1, so that rounding carries no point over the open edge of its square.
        within = streams.uniform(n, 2).clamp(max=1 - 2**-20)
        return 8 / self.squares * (torch.stack([column, row], -1) + within) - 4

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., 2), shape (...): −∞ off the squares."""
        square = torch.floor((x + 4) * (self.squares / 8))
        inside = (square.sum(-1) % 2 == 0) & (x >= -4).all(-1) & (x < 4).all(-1)
        return torch.full_like(x[..., 0], -math.log(32)).masked_fill(~inside, -math.inf)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``: 0 on the squares, NaN where undefined."""
        outside = self.log_prob(x).isinf().unsqueeze(-1)
        return torch.zeros_like(x).masked_fill(outside, math.nan)

    def entropy(self) -> float:
        """Differential entropy in nats: the logarithm of the area."""
        return math.log(32)
