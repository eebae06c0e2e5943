"""Independent components with Laplace sources."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ebm_bench.datasets.base import Vectors
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class LaplaceIca(Vectors):
    """Independent Laplace sources of unit variance, mixed linearly: ``x = A s``.

    The density has kinks where a source is 0; its score jumps there.

    Parameters
    ----------
    dimension : int
        Number of sources and of coordinates.
    seed : int
        Seed of the mixing matrix, whose singular values are spaced evenly from 2 to 1/2.
    """

    dimension: Annotated[int, Ge(2)] = 4
    seed: Annotated[int, Ge(0)] = 0

    knows = ("log_prob", "score", "entropy", "parameters")
    citation = (
        "Gutmann and Hyvärinen 2012, Noise-contrastive estimation, "
        "https://jmlr.org/papers/v13/gutmann12a.html"
    )

    @cached_property
    def mixing(self) -> Tensor:
        """Mixing matrix in float64, shape (d, d)."""
        d = self.dimension
        draws = Streams(self.seed, scope=("laplace_ica",)).normal(2, d, d, dtype=torch.float64)
        q, r = torch.linalg.qr(draws[0])
        # The signs of a QR decomposition are the library's choice: fixed here.
        left, right = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
        return left * torch.linspace(2, 0.5, d, dtype=torch.float64) @ right.T

    @property
    def parameters(self) -> dict[str, Tensor]:
        """True parameters: ``unmixing``, in float64, shape (d, d).

        Known only up to the order and the signs of its rows.
        """
        return {"unmixing": torch.linalg.inv(self.mixing)}

    def align(self, estimate: dict[str, Tensor]) -> dict[str, Tensor]:
        """Order the rows of unmixing matrices (R, d, d), and choose their signs."""
        found, truth = estimate["unmixing"], self.parameters["unmixing"]
        # The best sign takes |w·v| off the squared distance of a row w from a true row v.
        gains = found @ truth.mT
        orders = [linear_sum_assignment(g.abs().T, maximize=True)[1] for g in gains.detach()]
        order = torch.tensor(np.array(orders))
        signs = gains.detach().sign().gather(1, order.unsqueeze(1)).mT
        rows = found.gather(1, order.unsqueeze(2).expand_as(found))
        return {"unmixing": signs * rows}

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Bounds of each coordinate, outside which lies no more than about 1e-6 of the mass."""
        reach = self.mixing.abs().amax(1) * 10 + self.mixing.norm(dim=1)
        return tuple((-r, r) for r in reach.tolist())

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw points of shape (R, n, d)."""
        exponential = -torch.log1p(-streams.uniform(n, self.dimension))
        sources = streams.rademacher(n, self.dimension) * exponential / math.sqrt(2)
        return sources @ self.mixing.T.to(sources)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points of shape (..., d), shape (...)."""
        sources = x @ self.parameters["unmixing"].T.to(x)
        constant = 0.5 * self.dimension * math.log(2) + self._log_volume
        return -math.sqrt(2) * sources.abs().sum(-1) - constant

    def score(self, x: Tensor) -> Tensor:
        """Gradient of `log_prob`, shape of ``x``."""
        unmixing = self.parameters["unmixing"].to(x)
        return -math.sqrt(2) * (x @ unmixing.T).sign() @ unmixing

    def entropy(self) -> float:
        """Differential entropy in nats: the sources' and the mixing's log-determinant."""
        return self.dimension * (1 + 0.5 * math.log(2)) + self._log_volume

    @property
    def _log_volume(self) -> float:
        return torch.linalg.slogdet(self.mixing).logabsdet.item()
