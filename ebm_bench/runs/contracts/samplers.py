"""Contracts of samplers."""

from typing import Any

import torch
from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.runs.contracts.base import Contract, depends_on_others, foreign_draws, no_tensor
from ebm_bench.streams import Streams


def _sampler_fault(sampler: Any, energy: Energy, x: Tensor, streams: Streams) -> str:
    start, weights = x.clone(), list(energy.parameters())
    before = [(weight.requires_grad, weight.detach().clone()) for weight in weights]
    moved = sampler.run(energy, start, streams)
    if kind := no_tensor(moved):
        return f"run() returns {kind}"
    if moved.shape != x.shape:
        return f"shape {tuple(moved.shape)} from {tuple(x.shape)}"
    if moved.requires_grad:
        return "the points carry a graph"
    if moved.dtype != x.dtype:
        return f"{moved.dtype} from {x.dtype}"
    if not torch.equal(start, x):
        return "the start was changed"
    for weight, (trained, value) in zip(weights, before, strict=True):
        if weight.requires_grad != trained or not torch.equal(weight, value):
            return "the energy was changed"
    if not moved.isfinite().any():
        return "no point is finite"
    return "no point has moved" if torch.equal(moved, x) else ""


def _chains_fault(sampler: Any, energy: Energy, x: Tensor, streams: Streams) -> str:
    if depends_on_others(lambda start: sampler.run(energy, start, streams.child("start")), x):
        return "the chains of a replicate depend on the starts of others"
    return foreign_draws(lambda own: sampler.run(energy, x, own), streams, may_be_fixed=True)


SAMPLER = Contract(
    "samplers",
    "points that have moved, of the same shape, finite and without a graph; the start and the "
    "energy are unchanged",
    "An in-place operation on x (begin with a copy), or gradients that were taken without "
    "detaching (ebm_bench.derivatives.gradient does it under torch.no_grad())",
    _sampler_fault,
)
CHAINS = Contract(
    "samplers",
    "chains of a replicate alone are those that it has among others",
    "Something is computed over all replicates together (a mean, an accept step), or drawn "
    "otherwise than from the streams that run() gets",
    _chains_fault,
)
