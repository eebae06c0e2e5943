"""Densities from which annealing starts: the truth, or the best that is fitted to the data."""

import hashlib
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ebm_bench.datasets import cached
from ebm_bench.errors import InputError
from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.records import fingerprint
from ebm_bench.samplers.annealing_path import Proposal
from ebm_bench.streams import Streams
from ebm_bench.utils.files import replacing

# Components and principal directions of each: a Gaussian, and a mixture that costs as much.
_CANDIDATES = ((1, 320), (10, 32))
# Points that they are fitted to, and that choose among them.
_POINTS, _HELD_OUT = 5_000, 1_000
_LIBRARIES = ("numpy", "scikit-learn", "torch")  # that the fit is computed by


def proposal_for(dataset, device: torch.device) -> Proposal:
    """Find the density from which to start on a dataset: its own, or the best that is fitted.

    Fitted are a Gaussian and a mixture, and the better one is chosen by the likelihood of
    validation data. The same for all models of a dataset, and kept beside the prepared data.
    """
    return dataset if "log_prob" in dataset.knows else _fitted(dataset, device)


@lru_cache(4)
def _fitted(dataset, device: torch.device) -> PcaMixture:
    streams = Streams(0, 1, device, ("proposal",))
    data = dataset.sample(_POINTS, streams.child("train"), split="train")[0]
    held_out = dataset.sample(_HELD_OUT, streams.child("validation"), split="validation")
    path = cached.folder() / "proposals" / f"{_digest(data, held_out)}.safetensors"
    with suppress(OSError, SafetensorError, KeyError, RuntimeError):  # none, or a damaged file
        return _load(path, data)
    found = [PcaMixture(data.shape[1:], *one).to(data).fit(data) for one in _CANDIDATES]
    best = max(found, key=lambda one: one.log_prob(held_out).double().mean().item())
    if cached.folder().is_dir():
        # Each run is a process of its own, and all on a dataset need the same fit.
        with suppress(InputError), replacing(path) as temporary:
            save_file({k: v.cpu().contiguous() for k, v in best.state_dict().items()}, temporary)
    return best


def _load(path: Path, data: Tensor) -> PcaMixture:
    state = load_file(path, str(data.device))
    chosen = next(one for one in _CANDIDATES if one[0] == len(state["weights"]))
    mixture = PcaMixture(data.shape[1:], *chosen).to(data)
    mixture.load_state_dict(state)
    return mixture


def _digest(*points: Tensor) -> str:
    """Digest all that a fit depends on: the points, the code, and the libraries."""
    settings = hashlib.sha256(repr([version(one) for one in _LIBRARIES]).encode())
    for each in points:
        settings.update(each.cpu().contiguous().numpy().tobytes())
    return fingerprint.digest(settings.hexdigest(), fingerprint.closure(Path(__file__)))
