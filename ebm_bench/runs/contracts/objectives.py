"""Contracts of objectives, and of what a run watches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ebm_bench import registry
from ebm_bench.energies.base import Energy
from ebm_bench.runs.contracts.base import (
    Contract,
    changes,
    depends_on_others,
    foreign_draws,
    misshapen,
    no_tensor,
    normaliser_fault,
)
from ebm_bench.runs.state import Watch
from ebm_bench.runs.surroundings import guarded
from ebm_bench.streams import Streams


def _loss_fault(objective: Any, loss: Any, x: Tensor) -> str:
    if kind := no_tensor(loss):
        return f"loss() returns {kind}"
    if found := misshapen(loss, x):
        return found
    if objective.trains and not loss.requires_grad:
        return "the loss carries no graph"
    return normaliser_fault(objective, len(x))


def _apart_fault(objective: Any, energy: Energy, loss: Tensor) -> str:
    """Differentiate the loss of one replicate by the weights of all."""
    weights = [p for p in energy.parameters() if p.requires_grad]
    if not weights:  # of an energy that is only scaled by its log-normaliser
        return ""
    slopes = torch.autograd.grad(loss[0], weights, retain_graph=True, allow_unused=True)
    found = [slope for slope in slopes if slope is not None]
    if not found and not objective.takes_progress:
        return "the loss does not depend on the energy"
    # Not a number is what zero times a replicate that diverged gives.
    if any(slope[1:].nan_to_num(0.0, 0.0, 0.0).any() for slope in found):
        return "the loss of a replicate depends on the energies of others"
    return ""


def _draws_fault(draw: Callable[[Streams], Tensor], streams: Streams) -> str:
    return foreign_draws(draw, streams, may_be_fixed=True)


def _mixed_fault(loss: Callable[[Tensor], Tensor], x: Tensor) -> str:
    mixed = depends_on_others(loss, x)
    return "the loss of a replicate depends on the points of others" if mixed else ""


def _shapes_fault(before: dict[str, tuple[str, ...]], part: torch.nn.Module) -> str:
    after = shapes_of(part)
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if not was:
            return f"'{name}' is there after a call and was not there"
        if not now:
            return f"'{name}' is gone after a call and was there"
        for one, other in zip(now, was, strict=True):
            if one != other:
                return f"'{name}' is {one} after a call and was {other}"
    return ""


def shapes_of(part: torch.nn.Module) -> dict[str, tuple[str, ...]]:
    """Describe all parameters and buffers that a checkpoint holds, and the shape of points."""
    trained = {name for name, p in part.named_parameters(remove_duplicate=False) if p.requires_grad}
    found = {
        name: (
            f"of shape {tuple(value.shape)}",
            f"of {value.dtype}",
            f"on {value.device}",
            "trained" if name in trained else "not trained",
        )
        for name, value in part.state_dict().items()
    }
    own = {name: getattr(part, name, None) for name in ("event_shape", "replicates")}
    return found | {name: (repr(value),) for name, value in own.items()}


def _unsaved_fault(
    call: Callable[[], Any], parts: Sequence[Any], streams: Sequence[Streams] = ()
) -> str:
    put_back: list[str] = []
    watch = Watch(parts, streams, put_back)
    watch.begin()
    for _ in range(3):
        with guarded(put_back):
            call()
        watch.look()
    return changes(watch.unsaved) if watch.unsaved else ""


LOSS = Contract(
    "objectives",
    "a loss of shape (R,), finite, in the type of the data (float32 and float64)",
    "A mean over all axes (use .mean(1), which keeps the replicates), a sum over coordinates that "
    "is missing, or a tensor made without dtype=x.dtype",
    _loss_fault,
)
APART = Contract(
    "objectives",
    "the loss of a replicate depends on its own energy and on no other, so that it takes the step "
    "alone that it takes among others",
    "A detach() around the energy, or something that is computed over all replicates together: a "
    "mean over axis 0, one random draw for all (draw from the streams that loss() gets), or "
    "weights that are shared",
    _apart_fault,
)
OWN = replace(APART, fault=_draws_fault)
MIXED = replace(APART, fault=_mixed_fault)
SHAPES = Contract(
    "objectives",  # and energies
    "parameters and buffers as they were when the training began: of the same shape and type, and "
    "trained or not, as a checkpoint is restored into these",
    "A buffer that grows from call to call (make it of its final shape in build(), and count in "
    "another what it holds), or a loss that calls half() or requires_grad_() of the energy",
    _shapes_fault,
)
LEARNED = Contract(
    "objectives",
    "log_z is None, or a tensor of shape (R,)",
    "One number for all replicates: nn.Parameter(torch.zeros(energy.replicates))",
    normaliser_fault,
)
UNSAVED = Contract(
    "objectives",  # and all that a run watches
    "what a call changes are parameters and buffers, which a checkpoint holds",
    "A counter, a list or a tensor that is a plain attribute: register_buffer, or a loss that is a "
    "function of `progress`",
    _unsaved_fault,
)
KEPT = replace(
    UNSAVED,
    family="metrics",
    expected="a metric of a curve keeps nothing from call to call, as no checkpoint holds it",
    cause="A count or a cache that is an attribute of the class: let each call make it, or keep "
    "it as an attribute of the metric, which is made for each point of the curve",
)


def unsaved(names: Sequence[str], curve: str) -> str:
    """Describe state that a checkpoint does not hold, and what follows from it.

    Parameters
    ----------
    names : sequence of str
        Names of the state.
    curve : str
        Name of the metric that is measured during training.
    """
    kept = f"{registry.describe('metrics', curve).class_name}."
    contract = KEPT if all(name.startswith(kept) for name in names) else UNSAVED
    others = ", and evaluation does not know this state" if contract is UNSAVED else ""
    return (
        f"{contract.words(changes(names))}. So the steps are not compiled, and the training starts "
        f"again if it is interrupted{others}"
    )
