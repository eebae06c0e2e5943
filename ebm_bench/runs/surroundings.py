"""What belongs to the process and to no part of a run, and changes what calls compute."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from ebm_bench.runs.walk import VARIABLE, digest_of

GENERATOR = "the global generator of "

_SETTINGS: dict[str, Callable[[], Any]] = {
    "the default dtype of torch": torch.get_default_dtype,
    "the default device of torch": torch.get_default_device,
    "the gradient mode of torch": torch.is_grad_enabled,
    "the number of threads of torch": torch.get_num_threads,
    "the matrix precision of torch": torch.get_float32_matmul_precision,
    "the choice of deterministic algorithms of torch": torch.are_deterministic_algorithms_enabled,
    "the error handling of numpy": np.geterr,
    "the working folder": os.getcwd,
}


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
    return {GENERATOR + library: digest_of(s) for library, s in states.items()}
