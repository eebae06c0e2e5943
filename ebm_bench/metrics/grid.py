"""Densities in the plane on a grid, with a check of its width and resolution."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.metrics.points import energies
from ebm_bench.streams import Streams

_PARTS = 5  # of a side of a cell in which peaks are looked for
_UNEVEN = 0.05  # most that a resolved density's mass on a quarter of the points is off

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
        Whether half the box and twice the spacing give the same ``log_z``, and no cell with data
        hides a peak.
    hidden : Tensor of shape (R,)
        Mass of peaks between the points that was found, relative to that of the grid.
    """

    points: Tensor
    cell: Tensor
    energy: Tensor
    log_z: Tensor
    converged: Tensor
    hidden: Tensor

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


def is_resolved(log_prob: Tensor, grid: Grid) -> bool:
    """Whether a normalised density has its mass on a grid, and on each half of rows and columns.

    Parameters
    ----------
    log_prob : Tensor of shape (N,)
        At the points of the grid.
    grid : Grid
        Square, of an even number of cells per side.
    """
    side = math.isqrt(len(log_prob))
    mass = log_prob.double().exp().view(side, side) * grid.cell.double().prod()
    quarters = mass.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).sum((0, 2)) * 4
    return bool(((quarters - 1).abs() < _UNEVEN).all())


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
    energy: Energy,
    box: Box,
    cells: int = 256,
    most: int = 1024,
    tolerance: float = 1e-3,
    data: Tensor | None = None,
) -> Grid:
    """Integrate ``exp(−E)`` of every replicate over the plane.

    Where the normaliser is known, one grid over the box is sufficient. Otherwise the first grid
    covers twice the box. The box or the resolution is doubled until ``log_z`` changes by less than
    the tolerance, both without the outer half of the box and without every second row and column,
    and until no peak hides between the points: cells with data are cut finer.
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
    data : Tensor of shape (N, 2), optional
        Points where narrow peaks are looked for.
    """
    if energy.log_z is not None:
        # The integral is not needed; the grid is used for the truth.
        points, cell = lattice(box, cells // 2, energy.location)
        values = energies(energy, points.expand(energy.replicates, -1, -1))
        log_z = energy.log_z.detach().double()
        known = torch.ones_like(log_z, dtype=torch.bool)
        return Grid(points, cell, values, log_z, known, torch.zeros_like(log_z))
    widening = 2.0
    while True:
        wide = widen(box[0], widening, cells), widen(box[1], widening, cells)
        points, cell = lattice(wide, cells, energy.location)
        values = energies(energy, points.expand(energy.replicates, -1, -1))
        square = -values.double().unflatten(1, (cells, cells))
        total = square.logsumexp((1, 2))
        inner = slice(cells // 4, -cells // 4)
        is_wide = (total - square[:, inner, inner].logsumexp((1, 2))).abs() < tolerance
        sparse = square[:, ::2, ::2].logsumexp((1, 2)) + math.log(4)
        hidden = torch.zeros_like(total)
        if data is not None:
            hidden = _hidden(energy, square, total, points[0], cell, data)
        is_fine = ((total - sparse).abs() < tolerance) & (hidden < tolerance)
        unsettled = total.isfinite() & ~(is_wide & is_fine)
        if cells >= most or not unsettled.any():
            log_z = total + cell.double().log().sum()
            return Grid(points, cell, values, log_z, is_wide & is_fine, hidden)
        if (unsettled & ~is_wide).any():
            widening *= 2
        cells *= 2


def _hidden(
    energy: Energy, square: Tensor, total: Tensor, first: Tensor, cell: Tensor, data: Tensor
) -> Tensor:
    """Mass of peaks between the points of a grid, relative to what the grid has, shape (R,)."""
    cells = square.shape[1]
    column, row = ((data.to(cell) - first) / cell).round().long().unbind(1)
    inside = (column.clamp(0, cells - 1) == column) & (row.clamp(0, cells - 1) == row)
    data = data.to(cell)[inside]
    if not len(data):
        return torch.zeros_like(total)
    index, of_data = (row * cells + column)[inside].unique(return_inverse=True)
    at = first + cell * torch.stack([index % cells, index // cells], 1)
    thirds = (torch.arange(_PARTS).to(cell) + 0.5) / _PARTS - 0.5
    inner = (at[:, None] + cell * torch.cartesian_prod(thirds, thirds)).flatten(0, 1)
    fine = -energies(energy, inner.expand(len(square), -1, -1)).double()
    fine = fine.unflatten(1, (len(index), -1)).logsumexp(2) - 2 * math.log(_PARTS)
    # Where a density is resolved, the mean over a cell is never twice that at its centre.
    coarse = square.flatten(1)[:, index] + math.log(2)
    surplus = (fine - total[:, None]).exp() - (coarse - total[:, None]).exp()
    # Nor is the density at a data point far above that mean, even over the smallest area here.
    at_data = -energies(energy, data.expand(len(square), -1, -1)).double() - 2 * math.log(_PARTS)
    peak = (at_data - total[:, None]).exp() - 2 * (fine[:, of_data] - total[:, None]).exp()
    return surplus.clamp_min(0).sum(1) + peak.amax(1).clamp_min(0)


def widen(side: tuple[float, float], factor: float, cells: int) -> tuple[float, float]:
    """Widen a side of a box about its centre, for so many cells."""
    centre, half = (side[0] + side[1]) / 2, factor * (side[1] - side[0]) / 2
    # Off the middle by part of a cell: a narrow peak at equal distance from the four nearest
    # points has the same sum with and without every second row, however wrong it is.
    centre += 0.13 * 2 * half / cells
    return centre - half, centre + half
