"""Gaussian energy."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_BLOCK = 512  # columns


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Quadratic(Energy):
    """Gaussian density: ``E(x) = ½‖Lᵀ(x − m)‖²`` with the precision ``L Lᵀ``.

    ``L`` is lower triangular and its diagonal is kept positive by an exponential. Fitted to
    data, it is the Gaussian of maximum likelihood.

    Parameters
    ----------
    start_precision : float, optional
        Where it is given, training starts with this precision in every direction, around the
        mean of the data, and not at the fit to them.
    """

    normalised = True
    levels = True

    start_precision: Annotated[float, Gt(0)] | None = None

    def build(self, streams: Streams) -> None:
        """Start at the standard normal density."""
        size = math.prod(self.event_shape)
        self.mean = nn.Parameter(torch.zeros(self.replicates, 1, size))
        self.lower = nn.Parameter(torch.zeros(self.replicates, size, size))
        self.log_diagonal = nn.Parameter(torch.zeros(self.replicates, size))

    @property
    def factor(self) -> Tensor:
        """The factor ``L`` of the precision, shape (R, d, d)."""
        return self.lower.tril(-1) + torch.diag_embed(self.log_diagonal.exp())

    @property
    def estimate(self) -> dict[str, Tensor]:
        """The ``precision``, shape (R, d, d)."""
        return {"precision": self.factor @ self.factor.mT}

    @torch.no_grad()
    def assume(self, parameters: dict[str, Tensor]) -> None:
        """Take on a precision around 0."""
        factor = torch.linalg.cholesky(parameters["precision"])
        self.mean.zero_()
        self.lower.copy_(factor)
        self.log_diagonal.copy_(factor.diagonal(dim1=-2, dim2=-1).log())

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,)."""
        size = self.log_diagonal.shape[1]
        return 0.5 * size * math.log(2 * math.pi) - self.log_diagonal.sum(1)

    @torch.no_grad()
    def fit(self, data: Tensor) -> None:
        """Set mean and precision to those of maximum likelihood, or to where they start."""
        super().fit(data)
        if self.start_precision is not None:
            self.mean.copy_(data.flatten(2).double().mean(1, keepdim=True))
            self.log_diagonal.fill_(0.5 * math.log(self.start_precision))
            return
        self._take_moments([data])

    @torch.no_grad()
    def fit_all(self, batches: Iterator[Tensor]) -> bool:
        """Set mean and precision to those of maximum likelihood.

        Not done with fewer points than dimensions, or with constant pixels that only the noise of
        repeated draws keeps from being singular.
        """
        if self.start_precision is not None:
            return False
        try:
            covariance = self._take_moments(batches)
        except InputError:
            return False
        self.location.copy_(self.mean.view_as(self.location))
        scale = covariance.diagonal(dim1=1, dim2=2).sqrt()
        self.scale.copy_(scale.view_as(self.scale).clamp_min(1e-6))
        return True

    def _take_moments(self, batches: Iterable[Tensor]) -> Tensor:
        """Set mean and precision to those of points; returns their covariance, (R, d, d)."""
        count, shift, total, squares = 0, torch.empty(0), torch.zeros(()), torch.zeros(())
        for batch in batches:
            flat = batch.flatten(2).double()
            if not count:  # sums about a mean lose nothing to rounding
                shift = flat.mean(1, keepdim=True)
            centred = flat - shift
            count += flat.shape[1]
            total = total + centred.sum(1, keepdim=True)
            squares = squares + _upper_product(centred)
        squares = squares.triu() + squares.triu(1).mT
        offset = total / count
        mean, covariance = shift + offset, squares / count - offset.mT @ offset
        self.mean.copy_(mean)
        # cov = C Cᵀ, so the precision is C⁻ᵀ C⁻¹, and reversing the order of the
        # coordinates before and after makes its factor lower triangular.
        root, info = torch.linalg.cholesky_ex(covariance.flip(1, 2))
        if info.any():
            raise InputError(
                f"a Gaussian in {mean.shape[2]} dimensions cannot be fitted to {count} "
                "points: their covariance is singular. Raise fit_samples"
            )
        unit = torch.eye(root.shape[1], dtype=root.dtype, device=root.device)
        inverse = torch.linalg.solve_triangular(root, unit.expand_as(root), upper=False)
        factor = inverse.flip(1, 2).mT
        self.lower.copy_(factor)
        self.log_diagonal.copy_(factor.diagonal(dim1=1, dim2=2).log())
        return covariance

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return 0.5 * torch.bmm(x.flatten(2) - self.mean, self.factor).square().sum(2)

    def smoothed(self, x: Tensor, share: Tensor, variance: Tensor) -> Tensor:
        """Energy of the Gaussian of noised points, with the same log Z, shape (R, B).

        Parameters
        ----------
        x : Tensor of shape (R, B, *event_shape)
            Noised points.
        share, variance : Tensor
            As `ebm_bench.energies.levels.Path` gives them.
        """
        start, share = self.location.flatten(2), share.flatten(2)
        unit = torch.eye(start.shape[2], dtype=x.dtype, device=x.device)
        inverse = torch.linalg.solve_triangular(
            self.factor, unit.expand_as(self.lower), upper=False
        )
        covariance = share.square().unsqueeze(3) * (inverse.mT @ inverse).unsqueeze(1)
        root = torch.linalg.cholesky(covariance + variance.flatten(2).unsqueeze(3) * unit)
        centred = x.flatten(2) - start - share * (self.mean - start)
        z = torch.linalg.solve_triangular(root, centred.unsqueeze(3), upper=False)
        log_root = root.diagonal(dim1=2, dim2=3).log().sum(2)
        return 0.5 * z.square().sum((2, 3)) + log_root + self.log_diagonal.sum(1, keepdim=True)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw exact samples, shape (R, n, *event_shape)."""
        z = streams.normal(n, self.mean.shape[2], dtype=self.mean.dtype)
        x = torch.linalg.solve_triangular(self.factor, z, upper=False, left=False)
        return (x + self.mean).detach().view(self.replicates, n, *self.event_shape)


def _upper_product(x: Tensor) -> Tensor:
    """Compute the upper triangle of ``xᵀ x``, and little else, (R, N, d) to (R, d, d)."""
    product = x.new_zeros(len(x), x.shape[2], x.shape[2])
    for start in range(0, x.shape[2], _BLOCK):
        rows = slice(start, start + _BLOCK)
        product[:, rows, start:] = x[:, :, rows].mT @ x[:, :, start:]
    return product
