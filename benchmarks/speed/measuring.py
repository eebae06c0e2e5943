"""Agreement, time, memory and floating-point operations of steps."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from ebm_bench.runs.cost import FlopCounter

# Largest relative difference attributed to rounding in float64.
TOLERANCE = 1e-8
# Shortest duration of a timing; shorter steps are repeated.
TIMING_SECONDS = 0.01
# Size of the square matrices whose product measures the peak of the machine.
PRODUCT_SIZE = 1024
# Steps above this are slow: further warm-up gains nothing.
SLOW_SECONDS = 1.0
# Steps above this get one round fewer than others.
VERY_SLOW_SECONDS = 5.0
FEWEST_ROUNDS = 3


class Draws(TorchDispatchMode):
    """Gives several implementations of a loss the same random numbers.

    The first draws are recorded. After `rewind`, random operations return them again, for any
    generator and shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []
        self._next: int | None = None
        self._strayed = False

    def rewind(self) -> None:
        """Replay from the first number."""
        self._next, self._strayed = 0, False

    @property
    def matched(self) -> bool:
        """Whether as many numbers were drawn as the first time."""
        return self._next is None or (self._next == len(self._kept) and not self._strayed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return out
        if self._next is None:
            self._kept.append(out.detach().clone())
        elif self._next == len(self._kept) or self._kept[self._next].numel() != out.numel():
            self._strayed = True
        else:
            out.detach().copy_(self._kept[self._next].view_as(out))
            self._next += 1
        return out


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference of two lists of tensors, relative to the largest entry of a tensor.

    Returns
    -------
    float
        NaN if any value is not finite.
    """
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        scale = max(one.abs().max().item(), other.abs().max().item())
        apart = (one - other).abs().max().item() / scale if scale else 0.0
        largest = math.nan if math.isnan(apart) else max(largest, apart)
        if not math.isfinite(largest):
            return math.nan
    return largest


def operations(step: Callable[[], object]) -> int:
    """Count the floating-point operations in matrix products of a step."""
    with FlopCounter() as counter:
        step()
    return counter.total


def peak_bytes(step: Callable[[], object]) -> int:
    """Measure the peak memory of a step beyond what was allocated before it.

    Sums the allocations and releases of torch's allocator in order, as recorded by the
    profiler: exact to the byte for tensors and workspaces.

    Parameters
    ----------
    step : callable
        Must have been called before, so that the state of the optimiser exists.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as found:
        step()
    events = found.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    running = np.cumsum([change for _, change in sorted(changes, key=lambda pair: pair[0])])
    return int(running.max(initial=0))


def product_peak() -> float:
    """Measure floating-point operations per second of a large float32 matrix product."""
    size = PRODUCT_SIZE
    a, out = torch.ones(size, size), torch.empty(size, size)
    return 2 * size**3 / min(_seconds(lambda: torch.mm(a, a, out=out), 1) for _ in range(12))


def interleaved(
    steps: Mapping[str, Callable[[], object]], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """Time steps in turns, so that other load on the machine affects all of them alike.

    Parameters
    ----------
    steps : mapping of str to callable
        Steps to time. Each must have been called before.
    repeats : int
        Maximal number of rounds.
    seconds : float
        Maximal duration of all rounds. There are at least three rounds regardless, or two of
        very slow steps.

    Returns
    -------
    dict of str to list of float
        Seconds per step, one number per round.
    """
    first = {name: _seconds(step, 1) for name, step in steps.items()}
    counts = {name: max(1, round(TIMING_SECONDS / max(took, 1e-6))) for name, took in first.items()}
    round_seconds = sum(first[name] * counts[name] for name in steps)
    slowest = max(first.values())
    fewest = FEWEST_ROUNDS if slowest <= VERY_SLOW_SECONDS else FEWEST_ROUNDS - 1
    rounds = min(repeats, max(fewest, int(seconds / round_seconds)))
    slow = slowest > SLOW_SECONDS
    times = {name: [took] if slow else [] for name, took in first.items()}
    while len(next(iter(times.values()))) < rounds:
        for name, step in steps.items():
            times[name].append(_seconds(step, counts[name]))
    return times


def _seconds(step: Callable[[], object], count: int) -> float:
    """Measure the processor time of a step, averaged over ``count`` calls.

    On one thread this is wall-clock time without the time taken by other processes.
    """
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count
