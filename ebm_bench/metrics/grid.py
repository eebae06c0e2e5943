"""Densities in the plane on a grid, with a check of its width and resolution."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.metrics.points import energies
from ebm_bench.streams import Streams

Box = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Grid:
    """An energy at the centres of equal cells.

    Attributes
    ----------
    points : Tensor of shape (N, 2)
        Centres; y is constant along a row of cells and grows from row to row.
    cell : Tensor of shape (2,)
        Width and height of a cell.
    energy : Tensor of shape (R, N)
        In nats.
    log_z : Tensor of shape (R,)
        Log-normaliser in nats, float64.
    converged : Tensor of shape (R,)
        Whether half the box and twice the spacing give the same ``log_z``.
    """

    points: Tensor
    cell: Tensor
    energy: Tensor
    log_z: Tensor
    converged: Tensor

    def probabilities(self) -> Tensor:
        """Mass of each cell in float64, shape (R, N)."""
        return (-self.energy.double()).softmax(1)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, uniform within their cells, shape (R, n, 2).

        Not a number where the energy has no finite normaliser.
        """
        cumulative = self.probabilities().cumsum(1)
        u = streams.uniform(n, dtype=torch.float64) * cumulative[:, -1:]
        index = torch.searchsorted(cumulative, u).clamp_max(len(self.points) - 1)
        offset = streams.uniform(n, 2, dtype=self.points.dtype) - 0.5
        x = self.points[index] + offset * self.cell
        return torch.where(self.log_z.isfinite().view(-1, 1, 1), x, math.nan)


def lattice(box: Box, cells: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a box into ``cells × cells`` cells.

    Returns
    -------
    points : Tensor of shape (cells², 2)
        Their centres, row by row, y ascending, of the type and on the device of ``like``.
    cell : Tensor of shape (2,)
        Width and height of a cell.
    """
    low, high = torch.tensor(box, dtype=torch.float64).unbind(1)
    cell = (high - low) / cells
    x, y = (low[:, None] + cell[:, None] * (torch.arange(cells) + 0.5)).to(like)
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2), cell.to(like)


def integrate(
    energy: Energy, box: Box, cells: int = 256, most: int = 1024, tolerance: float = 1e-3
) -> Grid:
    """Integrate ``exp(−E)`` of every replicate over the plane.

    Where the normaliser is known, one grid over the box is sufficient. Otherwise the first grid
    covers twice the box. The box or the resolution is doubled until ``log_z`` changes by less than
    the tolerance, both without the outer half of the box and without every second row and column.
    All replicates share the largest grid that one of them needs; replicates without a finite
    integral are ignored.

    Parameters
    ----------
    energy : Energy
        Maps (R, B, 2) to (R, B).
    box : tuple of two (float, float)
        Where most of the mass is expected: (x from, x to), (y from, y to).
    cells : int
        Initial number of cells per side; a multiple of 4.
    most : int
        Maximum number of cells per side; ``converged`` reports whether it was sufficient.
    tolerance : float
        Tolerance in nats.
    """
    if energy.log_z is not None:
        # The integral is not needed; the grid is used for the truth.
        points, cell = lattice(box, cells // 2, energy.location)
        values = energies(energy, points.expand(energy.replicates, -1, -1))
        log_z = energy.log_z.detach().double()
        return Grid(points, cell, values, log_z, torch.ones_like(log_z, dtype=torch.bool))
    widening = 2.0
    while True:
        wide = _widen(box[0], widening, cells), _widen(box[1], widening, cells)
        points, cell = lattice(wide, cells, energy.location)
        values = energies(energy, points.expand(energy.replicates, -1, -1))
        square = -values.double().unflatten(1, (cells, cells))
        total = square.logsumexp((1, 2))
        inner = slice(cells // 4, -cells // 4)
        is_wide = (total - square[:, inner, inner].logsumexp((1, 2))).abs() < tolerance
        sparse = square[:, ::2, ::2].logsumexp((1, 2)) + math.log(4)
        is_fine = (total - sparse).abs() < tolerance
        unsettled = total.isfinite() & ~(is_wide & is_fine)
        if cells >= most or not unsettled.any():
            log_z = total + cell.double().log().sum()
            return Grid(points, cell, values, log_z, is_wide & is_fine)
        if (unsettled & ~is_wide).any():
            widening *= 2
        cells *= 2


def _widen(side: tuple[float, float], factor: float, cells: int) -> tuple[float, float]:
    centre, half = (side[0] + side[1]) / 2, factor * (side[1] - side[0]) / 2
    # Off the middle by part of a cell: a narrow peak at equal distance from the four nearest
    # points has the same sum with and without every second row, however wrong it is.
    centre += 0.13 * 2 * half / cells
    return centre - half, centre + half
