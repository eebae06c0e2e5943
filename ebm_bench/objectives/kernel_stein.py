"""Minimum kernel Stein discrepancy."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_POINTS = 1000  # of which the median of all distances is taken
_BLOCK = 512  # points that are compared with each other; larger batches are several blocks


@register
@dataclass(eq=False, kw_only=True, repr=False)
class KernelStein(Objective):
    """Minimise the kernel Stein discrepancy: score matching, averaged over a kernel.

    The U-statistic ``Σ_{i≠j} κ(x_i, x_j) / B(B − 1)`` of the Stein kernel

    ``κ(x, y) = k s(x)·s(y) + s(x)·∇_y k + s(y)·∇_x k + tr ∇_x∇_y k``

    with the score ``s = −∇E`` and ``k(x, y)`` a function of the distance: its expectation is
    ``E k δ(x)·δ(y)`` with ``δ`` the difference of the scores of model and data, 0 at the truth. No
    second derivative of the energy is needed. Of batches of more than 512 points, only pairs within
    blocks of as many are taken.

    Parameters
    ----------
    kernel : str
        ``imq``, the inverse multiquadric ``(1 + ‖x − y‖²/h²)^(−1/2)``, or ``rbf``, the Gaussian
        ``exp(−‖x − y‖²/2h²)``.
    width : float
        h, as a multiple of the median distance between data points.

    References
    ----------
    Barp, Briol, Duncan, Girolami and Mackey, "Minimum Stein discrepancy estimators", NeurIPS 2019,
    arXiv:1906.08283, with the identity as the diffusion matrix. The multiquadric: Gorham and
    Mackey, "Measuring sample quality with kernels", ICML 2017, arXiv:1703.01717.
    """

    kind = "score matching"
    requires = ("smooth",)
    search = {"kernel": ("imq", "rbf"), "width": (0.05, 0.1, 0.3)}  # noqa: RUF012

    kernel: Literal["imq", "rbf"] = "imq"
    width: Annotated[float, Gt(0)] = 0.1

    def build(self, energy: Energy) -> None:
        """Make room for the bandwidth."""
        super().build(energy)
        self.bandwidth: Tensor
        self.register_buffer("bandwidth", torch.ones(energy.replicates, 1, 1))

    def fit(self, energy: Energy, data: Tensor, streams: Streams) -> None:
        """Take the median distance between data points, times the width."""
        median = torch.stack([torch.pdist(x).median() for x in data[:, :_POINTS].flatten(2)])
        self.bandwidth.copy_(self.width * median[:, None, None])

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """U-statistic of a batch (R, B, *event_shape), shape (R,)."""
        if x.shape[1] < 2:
            raise InputError(f"{self.name} compares points: batch_size must be >= 2")
        scores, points = -gradient(energy, x).flatten(2), x.flatten(2)
        blocks = list(zip(scores.split(_BLOCK, 1), points.split(_BLOCK, 1), strict=True))
        pairs = sum(block.shape[1] * (block.shape[1] - 1) for block, _ in blocks)
        return torch.stack([self._total(*block) for block in blocks]).sum(0) / pairs

    def _total(self, score: Tensor, points: Tensor) -> Tensor:
        """Sum the Stein kernel over all pairs of different points, shape (R,)."""
        with torch.no_grad():
            kernel, slope, rest = self._kernel(points)
            pull = points * slope.sum(2, keepdim=True) - torch.bmm(slope, points)
        # Σ_j of s(x_i)·∇_y k + s(x_j)·∇_x k is twice s(x_i)·Σ_j slope (x_i − x_j).
        return (score * (torch.bmm(kernel, score) + 2 * pull)).sum((1, 2)) + rest

    def _kernel(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate ``k``, ``−2 dk/d‖x − y‖²`` and the sum of ``tr ∇_x∇_y k``, without i = j."""
        h = self.bandwidth.square()
        squares = torch.cdist(points, points).square()
        if self.kernel == "rbf":
            kernel = torch.exp(-squares / (2 * h))
            slope, bend = kernel / h, kernel / h.square()
        else:
            base = 1 / (1 + squares / h)
            kernel = base.sqrt()
            slope, bend = kernel * base / h, 3 * kernel * base.square() / h.square()
        trace = slope * points.shape[2] - bend * squares
        for each in (kernel, slope, trace):
            each.diagonal(dim1=1, dim2=2).zero_()
        return kernel, slope, trace.sum((1, 2))
