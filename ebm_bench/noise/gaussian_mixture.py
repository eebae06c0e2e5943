"""Gaussian mixture noise."""

import importlib
import math
import warnings
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.errors import InputError
from ebm_bench.nn.flow import standard_normal_log_prob, standardisation
from ebm_bench.noise.base import Noise, triangular_log_prob
from ebm_bench.registry import register
from ebm_bench.streams import Streams

# Beyond this many dimensions the covariances of the components are diagonal.
FULL_COVARIANCE_DIMENSIONS = 16


@register
@dataclass(eq=False, kw_only=True, repr=False)
class GaussianMixture(Noise):
    """Mixture of Gaussians fitted by expectation maximisation.

    Parameters
    ----------
    components : int
        Number of Gaussians.
    iterations : int
        Maximum number of iterations of the fit.

    References
    ----------
    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM
    algorithm", 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.
    """

    components: Annotated[int, Ge(1)] = 10
    iterations: Annotated[int, Ge(1)] = 30

    def build(self) -> None:
        """Start with every component at the standard normal density."""
        # Imported by no other noise, since it takes seconds; here, as the time of a fit counts.
        importlib.import_module("sklearn.mixture")
        size = math.prod(self.event_shape)
        shape = (self.replicates, self.components, size)
        self.full = size <= FULL_COVARIANCE_DIMENSIONS
        self.register_buffer("weights", torch.full(shape[:2], 1 / self.components))
        self.register_buffer("means", torch.zeros(shape))
        # Cholesky factors of the covariances, or standard deviations.
        factors = torch.eye(size).repeat(*shape[:2], 1, 1) if self.full else torch.ones(shape)
        self.register_buffer("factors", factors)

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Fit to the data, (R, N, *event_shape).

        Raises
        ------
        InputError
            Where there are too few points for the components.
        """
        if data.shape[1] < self.components:
            raise InputError(
                f"gaussian_mixture.components = {self.components} needs as many data points "
                f"or more; there are {data.shape[1]}"
            )
        mean, scale = (part.flatten(2) for part in standardisation(data))
        seeds = streams.integers(2**31).tolist()
        # Standardised, so that scikit-learn's floor of variances is relative to the data's.
        standardised = (data.flatten(2) - mean) / scale
        try:
            fits = [self._fit_one(u, seed) for u, seed in zip(standardised, seeds, strict=True)]
        except ValueError as error:  # of a component on too few different points
            raise InputError(
                f"gaussian_mixture: {self.components} components cannot be fitted to "
                f"{data.shape[1]} points ({str(error).split('.')[0]}). Lower its components, or "
                "raise fit_samples"
            ) from None
        weights, means, factors = (torch.stack(parts).to(data) for parts in zip(*fits, strict=True))
        self.weights, self.means = weights, mean + scale * means
        self.factors = scale.unsqueeze(3) * factors if self.full else scale * factors

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        u = streams.uniform(n, dtype=self.weights.dtype)
        chosen = torch.searchsorted(self.weights.cumsum(1), u, right=True)
        chosen = chosen.clamp(max=self.components - 1)
        row = torch.arange(self.replicates, device=chosen.device)[:, None]
        z = streams.normal(n, self.means.shape[2], dtype=self.means.dtype)
        factors = self.factors[row, chosen]
        step = (factors @ z.unsqueeze(3)).squeeze(3) if self.full else factors * z
        return (self.means[row, chosen] + step).view(self.replicates, n, *self.event_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        flat = x.flatten(2)
        # One by one, as all at once images would not fit into memory.
        parts = [self._component_log_prob(flat, k) for k in range(self.components)]
        log_weights = self.weights.to(x.dtype).log()[:, None]
        return torch.logsumexp(torch.stack(parts, dim=2) + log_weights, dim=2)

    def _component_log_prob(self, x: Tensor, k: int) -> Tensor:
        factor, centred = self.factors[:, k].to(x.dtype), x - self.means[:, k, None]
        if self.full:
            return triangular_log_prob(centred, factor)
        log_det = factor.log().sum(1, keepdim=True)
        return standard_normal_log_prob(centred / factor[:, None]) - log_det

    def _fit_one(self, u: Tensor, seed: int) -> list[Tensor]:
        """Weights (K,), means (K, D) and factors of the covariances of one replicate."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Estimator

        estimator = Estimator(
            self.components,
            covariance_type="full" if self.full else "diag",
            max_iter=self.iterations,
            random_state=seed,
        )
        with warnings.catch_warnings():
            # The number of iterations is a budget: not every fit reaches the tolerance.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(u.cpu().numpy())
        covariances = torch.from_numpy(estimator.covariances_)
        factors = torch.linalg.cholesky(covariances) if self.full else covariances.sqrt()
        return [torch.from_numpy(estimator.weights_), torch.from_numpy(estimator.means_), factors]
