"""Checkpoints of trainings: files from which an interrupted one is resumed."""

import io
import logging
from pathlib import Path
from typing import Any

import torch

from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")


def write(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint; a reader never meets half of it."""
    # In memory first: only Python's own writing always says when a disk is full.
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read(path: Path | None, fingerprint: list[str], device: torch.device) -> dict[str, Any] | None:
    """Read a checkpoint, if there is one of the same training by the same code.

    Parameters
    ----------
    path : Path, optional
        File.
    fingerprint : list of str
        Of the training, and the kind of device.
    device : torch.device
        Device of the tensors.

    Returns
    -------
    dict or None
        What was written. None also where the file is damaged, and where the training had state
        that is not saved; a warning says so.
    """
    if path is None or not path.is_file():  # a pipe would never end
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        damaged = not isinstance(state, dict) or "fingerprint" not in state
    except Exception:  # of many kinds: empty, cut, or something else
        damaged = True
    if damaged:
        log.warning("%s: is damaged; training starts again", path)
        return None
    if state["fingerprint"] != fingerprint:
        return None
    if state["unsaved"]:
        names = ", ".join(state["unsaved"])
        log.warning("%s: not all state was saved (%s); training starts again", path, names)
        return None
    return state
