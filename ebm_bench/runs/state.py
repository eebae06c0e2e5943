"""State that no checkpoint holds: what calls change besides parameters and buffers.

A counter that anneals a loss would be compiled as the constant that it was, and start again at
zero where a training is resumed. `Watch` finds such state by comparing digests of all that the
parts of a run refer to, and of what belongs to the process.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from ebm_bench.runs.assembly import Parts
from ebm_bench.runs.walk import VARIABLE, digest_of, plain_state
from ebm_bench.streams import Streams

_SETTINGS: dict[str, Callable[[], Any]] = {
    "the default dtype of torch": torch.get_default_dtype,
    "the default device of torch": torch.get_default_device,
    "the gradient mode of torch": torch.is_grad_enabled,
    "the number of threads of torch": torch.get_num_threads,
    "the matrix precision of torch": torch.get_float32_matmul_precision,
    "the error handling of numpy": np.geterr,
    "the working folder": os.getcwd,
}


class Watch:
    """Looks at the parts of a run between steps, for what changes and is not saved.

    Parameters
    ----------
    parts : sequence of object
        The energy, the objective, and others.
    streams : sequence of Streams
        Streams that calls get. Checkpoints hold their generators, and nothing else of them.

    Attributes
    ----------
    seen : dict of str to str
        Digests at the last look, by name; see `plain_state`.
    looks : int
        Number of looks.
    unsaved : list of str
        Names of what has changed between looks.
    put_back : list of str
        Names of settings that calls have changed; for `guarded`.
    """

    def __init__(self, parts: Sequence[object], streams: Sequence[Streams] = ()):
        self.parts = (*parts, *streams)
        self.saved = [generator for one in streams for generator in one.generators]
        self.seen: dict[str, str] = {}
        self.looks = 0
        self.unsaved: list[str] = []
        self.put_back: list[str] = []

    def begin(self) -> None:
        """Take note of what belongs to the process, before the first call."""
        self.seen |= surroundings()

    def look(self) -> bool:
        """Compare with the last look; returns whether a change was found for the first time.

        What has appeared is no change, as caches are made when they are first needed.
        """
        now = plain_state(*self.parts, saved=self.saved)
        if self.looks < 2:  # Later, others may have used them, such as a compiler.
            now |= surroundings()
        found = [*changed(self.seen, now), *self.put_back]
        is_first = bool(found) and not self.unsaved
        self.unsaved = sorted({*self.unsaved, *found})
        self.seen |= now
        self.looks += 1
        return is_first

    def differences(self, seen: dict[str, str]) -> list[str]:
        """List what differs from the last look of another process, and look from here on."""
        self.seen, self.looks = plain_state(*self.parts, saved=self.saved), 2
        return changed(seen, self.seen)


@contextmanager
def guarded(put_back: list[str]) -> Iterator[None]:
    """Put settings of torch back that all others compute with, if a call changes them.

    Parameters
    ----------
    put_back : list of str
        Gets the names of those that were changed.
    """
    dtype, mode = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
            put_back.append("the default dtype of torch")
        if torch.is_grad_enabled() != mode:
            torch.set_grad_enabled(mode)
            put_back.append("the gradient mode of torch")


@contextmanager
def held(parts: Parts) -> Iterator[None]:
    """Put weights, buffers and the count of evaluations back afterwards."""
    kept = {name: value.clone() for name, value in parts.state_dict().items()}
    evaluations = parts.energy.evaluations
    try:
        yield
    finally:
        parts.load_state_dict(kept)
        parts.energy.evaluations = evaluations


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """List what is in two states and differs."""
    return [name for name in before if after.get(name, before[name]) != before[name]]


def surroundings() -> dict[str, str]:
    """Take digests of what belongs to the process and to no part of a run, by name."""
    variables = {VARIABLE + key: digest_of(value) for key, value in os.environ.items()}
    return global_generators() | settings() | variables


def settings() -> dict[str, str]:
    """Take digests of settings of the process that change what calls compute, by name."""
    found = {}
    for name, read in _SETTINGS.items():
        with suppress(OSError):  # a folder that is gone
            found[name] = digest_of(str(read()))
    return found


def global_generators() -> dict[str, str]:
    """Take digests of the global generators of random numbers, by name."""
    states = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "random": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states["torch on GPUs"] = torch.cuda.get_rng_state_all()
    return {f"the global generator of {library}": digest_of(s) for library, s in states.items()}
