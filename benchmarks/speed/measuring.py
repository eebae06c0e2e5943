"""Agreement, time, memory and operations of steps."""

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from ebm_bench.runs.cost import FlopCounter

# Largest relative difference that rounding in float64 explains.
TOLERANCE = 1e-8
# A timing lasts this long at least: a step that is shorter is repeated in it.
TIMING_SECONDS = 0.01
# Rows of the square matrices whose product shows what the machine can do.
PRODUCT_SIZE = 1024
# Above this, a step is slow: nothing is gained by warming it up further.
SLOW_SECONDS = 1.0
# And above this, two rounds must do.
VERY_SLOW_SECONDS = 5.0
FEWEST_ROUNDS = 3


class Draws(TorchDispatchMode):
    """Let several ways of computing a loss meet the same random numbers.

    What is drawn first is kept; after `rewind`, random operations return it again, whichever
    generator and shape they ask for.
    """

    def __init__(self):
        super().__init__()
        self._kept: list[Tensor] = []
        self._next: int | None = None
        self._strayed = False

    def rewind(self) -> None:
        """Begin again with the first number."""
        self._next, self._strayed = 0, False

    @property
    def matched(self) -> bool:
        """Whether the same amounts of numbers were drawn as the first time."""
        return self._next is None or (self._next == len(self._kept) and not self._strayed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
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
    """Measure the largest difference of two lists of tensors, relative to the larger numbers.

    Returns
    -------
    float
        Not a number where the values are not finite.
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
    """Count the floating-point operations of the matrix products of a step."""
    with FlopCounter() as counter:
        step()
    return counter.total


def peak_bytes(step: Callable[[], object]) -> int:
    """Measure what a step needs at its peak beyond what was allocated before it.

    The allocations and releases of torch's allocator, in their order, as the profiler records
    them: exact to the byte for tensors and workspaces, whatever the process held before.

    Parameters
    ----------
    step : callable
        Has been called before, so that the optimiser's state exists.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as found:
        step()
    events = found.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    running = np.cumsum([change for _, change in sorted(changes, key=lambda pair: pair[0])])
    return int(running.max(initial=0))


def product_peak() -> float:
    """Measure the floating-point operations a second of a large matrix product in float32."""
    size = PRODUCT_SIZE
    a, out = torch.ones(size, size), torch.empty(size, size)
    return 2 * size**3 / min(_seconds(lambda: torch.mm(a, a, out=out), 1) for _ in range(12))


def interleaved(
    steps: Mapping[str, Callable[[], object]], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """Time steps in turns, so that what else the machine does meets all of them alike.

    Parameters
    ----------
    steps : mapping of str to callable
        What is timed; each has been called before.
    repeats : int
        Most rounds.
    seconds : float
        What all rounds together may take, unless fewer than three would be left; two
        of very slow steps.

    Returns
    -------
    dict of str to list of float
        Seconds of a step, one number a round.
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
    """Measure the processor time of a step, mean over some.

    On one thread that is what a clock shows where nothing else runs; where something does,
    what it takes is not charged to the step.
    """
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count
