"""Cost of evaluation relative to the network passes that it requires.

Each task comes with a bound: the same number of points through the same network and nothing
else, forward without a graph or with one gradient by automatic differentiation, at the fastest
of several chunk sizes.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ebm_bench import energies, samplers
from ebm_bench.metrics.grid import integrate
from ebm_bench.samplers.annealed_importance_sampling import annealed_importance_sampling
from ebm_bench.streams import Streams

Work = Callable[[], object]

_CHUNKS = (512, 1024, 2048, 4096)
_BOX = ((-4.0, 4.0), (-4.0, 4.0))


def tasks() -> dict[str, tuple[str, Callable[[], Work], Callable[[], Work]]]:
    """List the tasks by name: a title, and what builds the task and its bound."""
    grids = {
        f"grid-{cells}": (
            f"normaliser of an energy in the plane, {cells}² grid",
            partial(grid, cells),
            partial(forward, cells**2),
        )
        for cells in (512, 1024)
    }
    return {
        **grids,
        "langevin": (
            "Langevin dynamics in the plane, 10,000 chains × 100 steps",
            langevin,
            langevin_bound,
        ),
        "ais": (
            "annealed importance sampling, 784 dimensions, 100 chains × 1,000 levels",
            importance,
            importance_bound,
        ),
    }


def grid(cells: int) -> Work:
    """Integrate over a grid of ``cells²`` points."""
    energy = _network(2)
    return lambda: integrate(energy, _BOX, cells, cells)


def forward(points: int) -> Work:
    """Pass points in the plane forward."""
    energy, x = _network(2), Streams(0).normal(points, 2)

    def work(chunk: int) -> None:
        with torch.inference_mode():
            for part in x.split(chunk, 1):
                energy(part)

    return _fastest(work, _CHUNKS)


def langevin(chains: int = 10_000, steps: int = 100) -> Work:
    """Run the Langevin sampler."""
    energy, x = _network(2), Streams(0).normal(chains, 2)
    sampler = samplers.create("langevin", steps=steps)
    return lambda: sampler.run(energy, x, Streams(0))


def langevin_bound(chains: int = 10_000, steps: int = 100) -> Work:
    """Compute the gradients of that run."""
    return _gradients(_network(2), Streams(0).normal(chains, 2), steps, _CHUNKS)


def importance(chains: int = 100, levels: int = 1_000) -> Work:
    """Estimate a log-normaliser, with the pilot run and the way back."""
    energy = _network(784)
    return lambda: annealed_importance_sampling(energy, Streams(0), chains, levels)


def importance_bound(chains: int = 100, levels: int = 1_000) -> Work:
    """Compute the gradients of that estimate."""
    energy = _network(784)
    annealed_importance_sampling(energy, Streams(0), chains, levels)
    count = energy.evaluations // chains
    return _gradients(energy, Streams(0).normal(chains, 784), count, (chains // 2, chains))


def _network(size: int) -> Any:
    """Create a SiLU MLP size-128-128-1 with frozen weights."""
    return energies.create("mlp", event_shape=(size,)).eval().requires_grad_(False)


def _gradients(energy: Any, x: Tensor, times: int, chunks: tuple[int, ...]) -> Work:
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
    """Choose the fastest chunk size, by the best of five times each."""

    def seconds(chunk: int) -> float:
        started = time.perf_counter()
        work(chunk)
        return time.perf_counter() - started

    best = min(chunks, key=lambda chunk: min(seconds(chunk) for _ in range(5)))
    return lambda: work(best)
