"""Gaussian noise with full covariance."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from ebm_bench.nn.flow import standardisation
from ebm_bench.noise.base import Noise, triangular_log_prob
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Gaussian(Noise):
    """Gaussian with the mean and the covariance of the data.

    Parameters
    ----------
    ridge : float
        Shrinkage of the correlations towards zero, so that the covariance of few or
        nearly dependent data is positive definite. Variances stay as they are.
    fitted : bool
        Whether to fit the moments of the data; otherwise it is the standard normal density.

    References
    ----------
    Schäfer and Strimmer, "A shrinkage approach to large-scale covariance matrix estimation
    and implications for functional genomics", 2005, doi:10.2202/1544-6115.1175.
    """

    ridge: Annotated[float, Gt(0), Le(1)] = 1e-3
    fitted: bool = True

    def build(self) -> None:
        """Start at the standard normal density."""
        size = math.prod(self.event_shape)
        shape = (self.replicates, 1, *self.event_shape)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        # Lower triangular factor of the correlations.
        self.register_buffer("factor", torch.eye(size).repeat(self.replicates, 1, 1))

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Take the moments of the data, (R, N, *event_shape)."""
        if not self.fitted:
            return
        self.mean, self.scale = standardisation(data)
        factors = []
        for x, mean, scale in zip(data, self.mean, self.scale, strict=True):
            u = ((x - mean) / scale).flatten(1)
            correlation = (1 - self.ridge) * (u.T @ u).double() / len(u)
            correlation.fill_diagonal_(1.0)  # as it is, but in constant dimensions
            factors.append(torch.linalg.cholesky(correlation).to(data.dtype))
        self.factor = torch.stack(factors)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        z = streams.normal(n, self.factor.shape[1], dtype=self.factor.dtype)
        u = (z @ self.factor.mT).view(self.replicates, n, *self.event_shape)
        return self.mean + self.scale * u

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        factor, scale = self.factor.to(x.dtype), self.scale.to(x.dtype)
        u = ((x - self.mean) / scale).flatten(2)
        return triangular_log_prob(u, factor) - scale.log().flatten(1).sum(1, keepdim=True)
