"""What computing costs: seconds, peak memory, and floating-point operations."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ebm_bench.utils import devices

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def seconds(device: str) -> float:
    """Read the clock of costs, of which only differences count.

    On a CPU it is the processor time of this process, which other processes do not slow down. On
    a GPU, whose work is not the processor's, it is wall-clock time.
    """
    return time.perf_counter() if device.startswith("cuda") else time.process_time()


def reset_peak(device: str) -> None:
    """Start a new stretch, where the system can; otherwise the peak is the process's."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return
    devices.release_memory()
    try:
        _CLEAR.write_text("5", encoding="utf-8")
    except OSError:
        return


def peak(device: str) -> int:
    """Bytes at the peak: allocated by torch on a GPU, resident in memory on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class FlopCounter(TorchDispatchMode):
    """Count the floating-point operations of matrix products and convolutions.

    Torch's own counter tracks modules besides, which fails where a loss differentiates.

    Attributes
    ----------
    total : int
        Operations so far, backward passes included.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler, which takes seconds, at the first call.
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def warm_up(device: str) -> None:
    """Do once what torch does at the first counted derivative, and takes a second for.

    Otherwise the first of the methods that share a process would pay for it.
    """
    x = torch.ones(2, 2, device=device, requires_grad=True)
    with FlopCounter():
        (slope,) = torch.autograd.grad((x @ x).square().sum(), x, create_graph=True)
        torch.autograd.grad(slope.sum(), x)


def seconds_of(device: str, call: Callable[..., object], *given: Any) -> float:
    """Call something that is not the method's, and measure the seconds that it takes."""
    started = seconds(device)
    call(*given)
    return seconds(device) - started


def is_out_of_memory(error: Exception) -> bool:
    """Tell an exhausted memory, of the machine or of a GPU, from other errors."""
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or "can't allocate memory" in str(error)
