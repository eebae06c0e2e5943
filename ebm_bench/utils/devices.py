"""Where tensors live: the CPU, or a GPU that no other process of this user works on."""

import ctypes
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ebm_bench.errors import InputError

log = logging.getLogger("ebm_bench")


# Parameters of mallopt, in bytes: free memory to keep, and the largest size that is not mapped.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = (-1, 1 << 29), (-3, 1 << 25)


def prepare_process() -> None:
    """Make a process fit for many tensor operations, which are small but for their number.

    Numbers too small to be normal take a hundred times as long as others and are flushed to
    zero. Freed memory is kept: tensors of some hundred kilobytes would otherwise be mapped
    anew each time, which takes longer than filling them.
    """
    import torch

    torch.set_flush_denormal(True)
    with suppress(AttributeError, OSError):  # another C library: as it is
        for parameter, value in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, value)


def release_memory() -> None:
    """Give freed memory back to the system, so that a peak is that of what follows."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def resolve(name: str) -> str:
    """Turn the name of a device into torch's name for it, without acquiring it.

    Parameters
    ----------
    name : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:0"``, ...

    Raises
    ------
    InputError
        Names the devices of this machine.
    """
    gpus = _gpus()
    valid = ["auto", "cpu", *(["cuda", *gpus] if gpus else [])]
    if name not in valid:
        raise InputError(f"unknown device '{name}'. Valid on this machine: {', '.join(valid)}")
    if name in ("auto", "cuda"):
        return next(iter(gpus), "cpu")
    return name


@contextmanager
def acquire(name: str) -> Iterator[str]:
    """Hold a device while it is in use; with ``"auto"`` and ``"cuda"`` wait for a free GPU.

    A GPU named by its number is not locked, and neither is the CPU. A lock ends with its
    process, however that ends.

    Parameters
    ----------
    name : str
        As for `resolve`.

    Yields
    ------
    str
        Torch's name of the device.
    """
    prepare_process()
    device, gpus = resolve(name), _gpus()
    if name not in ("auto", "cuda") or not gpus:
        yield device
        return
    device, lock = _wait_for_one(gpus)
    try:
        yield device
    finally:
        lock.release()


def _gpus() -> dict[str, str]:
    """Map each GPU to the identity of the hardware, whatever number this process sees."""
    import torch

    return {
        f"cuda:{index}": str(torch.cuda.get_device_properties(index).uuid)
        for index in range(torch.cuda.device_count())
    }


def _wait_for_one(gpus: dict[str, str]) -> tuple[str, FileLock]:
    # The temporary folder belongs to one machine, as its devices do; a home may be shared.
    folder = Path(tempfile.gettempdir(), f"ebm-bench-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    announced = False
    while True:
        for device, identity in gpus.items():
            lock = FileLock(folder / f"{identity}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return device, lock
        if not announced:
            log.info("waiting for a free GPU")
            announced = True
        time.sleep(0.5)
