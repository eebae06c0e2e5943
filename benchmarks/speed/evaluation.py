"""What evaluation costs above the bare passes of the network that it needs.

Each piece of work comes with its bound: the same number of points through the same network
and nothing else, in whichever of some chunk sizes is fastest, forward without a graph or with
one gradient by automatic differentiation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ebm_bench import energies, samplers
from ebm_bench.metrics.grid import integrate
from ebm_bench.samplers.annealed_importance_sampling import annealed_importance_sampling
from ebm_bench.streams import Streams

Work = Callable[[], object]

_CHUNKS = (512, 1024, 2048, 4096)
_BOX = ((-4.0, 4.0), (-4.0, 4.0))


@dataclass(frozen=True)
class Case:
    """A piece of evaluation and its bound.

    Attributes
    ----------
    title : str
        What is done, in words.
    ours, bound : callable
        Build what is timed, for a SiLU MLP d-128-128-1 with frozen weights.
    at_most : float
        Largest good ratio of ours to the bound.
    """

    title: str
    ours: Callable[[], Work]
    bound: Callable[[], Work]
    at_most: float = 1.3


def cases() -> dict[str, Case]:
    """List the pieces by name."""
    grids = {
        f"grid-{cells}": Case(
            f"normaliser of an energy in the plane, {cells}² grid",
            partial(grid, cells),
            partial(forward, cells**2),
        )
        for cells in (512, 1024)
    }
    return {
        **grids,
        "langevin": Case(
            "Langevin dynamics in the plane, 10,000 chains × 100 steps", langevin, langevin_bound
        ),
        "ais": Case(
            "annealed importance sampling, 784 dimensions, 100 chains × 1,000 levels",
            importance,
            importance_bound,
        ),
    }


def grid(cells: int) -> Work:
    """Build the integration over one grid of ``cells²`` points."""
    energy = _network(2)
    return lambda: integrate(energy, _BOX, cells, cells)


def forward(points: int) -> Work:
    """Build the bare forward passes of points in the plane."""
    energy, x = _network(2), Streams(0).normal(points, 2)

    def work(chunk: int) -> None:
        with torch.inference_mode():
            for part in x.split(chunk, 1):
                energy(part)

    return _fastest(work, _CHUNKS)


def langevin(chains: int = 10_000, steps: int = 100) -> Work:
    """Build the sampler's run."""
    energy, x = _network(2), Streams(0).normal(chains, 2)
    sampler = samplers.create("langevin", steps=steps)
    return lambda: sampler.run(energy, x, Streams(0))


def langevin_bound(chains: int = 10_000, steps: int = 100) -> Work:
    """Build the bare gradients of that run."""
    return _gradients(_network(2), Streams(0).normal(chains, 2), steps, _CHUNKS)


def importance(chains: int = 100, levels: int = 1_000) -> Work:
    """Build the estimate of a log-normaliser, with its pilot run."""
    energy = _network(784)
    return lambda: annealed_importance_sampling(energy, Streams(0), chains, levels)


def importance_bound(chains: int = 100, levels: int = 1_000) -> Work:
    """Build the bare gradients of that estimate."""
    energy = _network(784)
    annealed_importance_sampling(energy, Streams(0), chains, levels)
    count = energy.evaluations // chains
    return _gradients(energy, Streams(0).normal(chains, 784), count, (chains // 2, chains))


def _network(size: int) -> nn.Module:
    return energies.create("mlp", event_shape=(size,)).eval().requires_grad_(False)


def _gradients(energy: nn.Module, x: Tensor, times: int, chunks: tuple[int, ...]) -> Work:
    def once(chunk: int) -> None:
        for part in x.split(chunk, 1):
            point = part.detach().requires_grad_()
            torch.autograd.grad(energy(point).sum(), point)

    fastest = _fastest(once, chunks)

    def work() -> None:
        for _ in range(times):
            fastest()

    return work


def _fastest(work: Callable[[int], None], chunks: tuple[int, ...]) -> Work:
    """Choose the chunk size with the shortest of five times."""

    def seconds(chunk: int) -> float:
        started = time.perf_counter()
        work(chunk)
        return time.perf_counter() - started

    best = min(chunks, key=lambda chunk: min(seconds(chunk) for _ in range(5)))
    return lambda: work(best)
