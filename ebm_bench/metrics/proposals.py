"""Densities from which annealing starts: the truth, or the best that is fitted to the data."""

from functools import lru_cache

import torch

from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.samplers.annealing_path import Proposal
from ebm_bench.streams import Streams

# Components and principal directions of each: a Gaussian, and a mixture that costs as much.
_CANDIDATES = ((1, 320), (10, 32))
# Points that they are fitted to, and that choose among them.
_POINTS, _HELD_OUT = 5_000, 1_000


def proposal_for(dataset, device: torch.device) -> Proposal:
    """Find the density from which to start on a dataset: its own, or the best that is fitted.

    Fitted are a Gaussian and a mixture, and the better one is chosen by the likelihood of
    validation data. The same for all models of a dataset.
    """
    return dataset if "log_prob" in dataset.knows else _fitted(dataset, device)


@lru_cache(4)
def _fitted(dataset, device: torch.device) -> PcaMixture:
    streams = Streams(0, 1, device, ("proposal",))
    data = dataset.sample(_POINTS, streams.child("train"), split="train")[0]
    held_out = dataset.sample(_HELD_OUT, streams.child("validation"), split="validation")
    found = [PcaMixture(data.shape[1:], *one).to(data).fit(data) for one in _CANDIDATES]
    return max(found, key=lambda one: one.log_prob(held_out).double().mean().item())
