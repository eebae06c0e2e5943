"""Contracts of metrics."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_bench.runs.contracts.base import Contract, no_tensor

_ERRORS, _ROUNDING = 8, 1e-3  # standard errors, and numbers, by which an estimate of 0 is below it


def _measured_fault(result: Any, replicates: int) -> str:
    if not isinstance(result, dict):
        return f"returns {type(result).__name__}, not a dict"
    if "value" not in result:
        return f"only {', '.join(map(str, result)) or 'nothing'}"
    for part, values in result.items():
        if not isinstance(part, str):
            return f"the name {part!r} is no text"
        if not part.strip():
            return "a part without a name"
        if kind := no_tensor(values):
            return f"'{part}' is {kind}"
        if values.shape != (replicates,):
            return f"'{part}' has the shape {tuple(values.shape)} where R is {replicates}"
        if values.is_complex():
            return f"'{part}' is complex"
        if values.is_meta:
            return f"'{part}' has no numbers, as it is on meta"
    return ""


def _positive_fault(metric: Any, result: dict[str, Tensor]) -> str:
    """Look for values below zero of what is averaged on the log scale."""
    if metric.scale != "log":
        return ""
    values = result["value"].double()
    error = result.get("standard_error", torch.zeros_like(values)).double()
    below = values < -(_ERRORS * error.abs().nan_to_num() + _ROUNDING)
    return f"{values[below].min():.4g}" if below.any() else ""


def state_of(model: Any) -> dict[str, Any]:
    """Describe what a metric may use and must not change, by name."""
    return dict(_state(model))


def _state(model: Any) -> Iterator[tuple[str, Any]]:
    for name, part in (("energy", model.energy), ("objective", model.objective)):
        if part is not None:
            for key, value in part.state_dict().items():
                yield f"'{key}' of the {name}", value.clone()
            trained = [key for key, p in part.named_parameters() if p.requires_grad]
            yield f"what of the {name} requires a gradient", trained
    for key, values in model.cached.items():
        yield key, _Stamp.of(values)


class _Stamp(NamedTuple):
    """What is compared of large values: a sum of their bits, and how often they were changed."""

    total: int
    changes: int

    @classmethod
    def of(cls, values: Tensor) -> "_Stamp":
        bits = values.detach().contiguous().view(torch.uint8).flatten()
        whole = bits[: len(bits) // 4 * 4].view(torch.int32)
        # Those of torch.inference_mode() do not count their changes.
        changes = 0 if values.is_inference() else values._version
        return cls(int(whole.sum(dtype=torch.int64)), changes)


def _touched_fault(before: dict[str, Any], after: dict[str, Any]) -> str:
    for name, now in after.items():
        # Samples that were drawn in the call have not been changed since.
        then = before.get(name, now._replace(changes=0) if isinstance(now, _Stamp) else None)
        if not (_equal(then, now) if isinstance(now, Tensor) else then == now):
            return f"{name} changes in a call"
    return ""


def _equal(one: Any, other: Tensor) -> bool:
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


MEASURED = Contract(
    "metrics",
    "a dict with 'value' in it, each quantity of shape (R,), finite and without a graph",
    "A mean over all axes in place of mean(1), a missing detach() or torch.no_grad(), or a "
    "number in place of a tensor",
    _measured_fault,
)
POSITIVE = Contract(
    "metrics",
    "values that are positive, up to their standard errors, as `scale` is 'log'",
    "A difference that may have either sign: leave `scale` out; or an estimate that scatters "
    "around zero: return its 'standard_error'",
    _positive_fault,
)
UNTOUCHED = Contract(
    "metrics",
    "the model as it was: weights, buffers, and samples that other metrics use",
    "Steps of an optimiser, requires_grad_(), train() or a change in place: work on "
    "copy.deepcopy(model.energy), and on clones of samples",
    _touched_fault,
)
