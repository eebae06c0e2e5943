"""What every class of a family keeps: looked at by `ebm-bench check`, and once in every run.

Shapes and types are looked at in every class. What takes computing is looked at in plugins: the
tests do so for the package.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebm_bench import registry
from ebm_bench.datasets.base import Dataset
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.noise.base import Noise
from ebm_bench.runs.smoothness import rough
from ebm_bench.runs.state import Watch
from ebm_bench.streams import Streams


@dataclass(frozen=True)
class Contract:
    """A property that a run relies on.

    Attributes
    ----------
    family : str
        Family of the classes that have it.
    expected : str
        Description of the property.
    cause : str
        Usual cause of a failure.
    fault : callable
        Describes how the property fails; empty if it holds.
    """

    family: str
    expected: str
    cause: str
    fault: Callable[..., str]

    def require(self, name: str, *arguments: Any) -> None:
        """Raise an `InputError` that names the class if the property does not hold."""
        if found := self.fault(*arguments):
            entry = registry.describe(self.family, name)
            kind = registry.FAMILIES[self.family].singular
            raise InputError(f"{kind} {entry.class_name} ({entry.path.name}): {self.words(found)}")

    def words(self, found: str) -> str:
        """Describe a failure and its usual cause."""
        return f"{found}. Expected: {self.expected}. Usual cause: {self.cause}"


def _loss_fault(objective: Any, loss: Any, x: Tensor) -> str:
    if kind := _no_tensor(loss):
        return f"loss() returns {kind}"
    if found := _misshapen(loss, x):
        return found
    if objective.trains and not loss.requires_grad:
        return "the loss carries no graph"
    return _log_z_fault(objective, len(x))


def _apart_fault(objective: Any, energy: Energy, loss: Tensor) -> str:
    """Differentiate the loss of one replicate by the weights of all."""
    weights = [p for p in energy.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss[0], weights, retain_graph=True, allow_unused=True)
    found = [slope for slope in slopes if slope is not None]
    if not found and not objective.takes_progress:
        return "the loss does not depend on the energy"
    # Not a number is what zero times a replicate that diverged gives.
    if any(slope[1:].nan_to_num(0.0, 0.0, 0.0).any() for slope in found):
        return "the loss of a replicate depends on the energies of others"
    return ""


def _log_z_fault(part: Any, replicates: int) -> str:
    """Look at the log-normaliser of an energy, or that which an objective learns."""
    log_z = part.log_z
    if log_z is None:
        return ""
    if kind := _no_tensor(log_z):
        return f"log_z is {kind}"
    if log_z.shape != (replicates,):
        return f"log_z is not of shape ({replicates},)"
    return "" if log_z.is_floating_point() else f"log_z is of {log_z.dtype}"


def _unsaved_fault(call: Callable[[], Any], parts: Sequence[Any], saved: Sequence[Any] = ()) -> str:
    watch = Watch(parts, saved)
    for _ in range(3):
        call()
        watch.look()
    return _changes(watch.unsaved) if watch.unsaved else ""


def _changes(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'changes' if len(names) == 1 else 'change'} from call to call"


def _no_tensor(values: Any) -> str:
    """Describe what is no tensor of numbers; empty if it is one."""
    if not isinstance(values, Tensor):
        return f"{type(values).__name__}, not a tensor"
    return "" if values.layout == torch.strided else f"{values.layout}, not a dense tensor"


def _misshapen(values: Any, x: Tensor, axes: int = 1) -> str:
    """Compare values with points: one for each replicate, or also for each point."""
    if kind := _no_tensor(values):
        return kind
    if values.shape != x.shape[:axes]:
        where = " and ".join(
            f"{axis} is {n}" for axis, n in zip("RB", x.shape[:axes], strict=False)
        )
        return f"shape {tuple(values.shape)} where {where}"
    if values.dtype != x.dtype:
        return f"{values.dtype} for data of {x.dtype}"
    if values.device != x.device:
        return f"on {values.device} for data on {x.device}"
    return ""


def _measured_fault(result: Any, replicates: int) -> str:
    if not isinstance(result, dict):
        return f"returns {type(result).__name__}, not a dict"
    if "value" not in result:
        return f"only {', '.join(map(str, result)) or 'nothing'}"
    for part, values in result.items():
        if not isinstance(part, str):
            return f"the name {part!r} is no text"
        if kind := _no_tensor(values):
            return f"'{part}' is {kind}"
        if values.shape != (replicates,):
            return f"'{part}' has the shape {tuple(values.shape)} where R is {replicates}"
        if values.is_complex():
            return f"'{part}' is complex"
    return ""


def _energy_fault(energy: Energy, x: Tensor) -> str:
    for name, parameter in energy.named_parameters():
        if parameter.shape[:1] != x.shape[:1]:
            return f"'{name}' has the shape {tuple(parameter.shape)}, without R = {len(x)} in front"
        if parameter.dtype != x.dtype:
            return f"'{name}' is of {parameter.dtype} for data of {x.dtype}"
    values = energy(x)
    if kind := _no_tensor(values):
        return f"forward() returns {kind}"
    return _misshapen(values, x, axes=2) or _log_z_fault(energy, len(x))


def _mixed(energy: Energy, x: Tensor) -> str:
    """Differentiate the energy of the first point, and of the last, by all points."""
    x = x.detach().requires_grad_()
    values = energy(x)
    if (
        not values.requires_grad
        or not torch.autograd.grad(values.sum(), x, retain_graph=True, materialize_grads=True)[
            0
        ].any()
    ):
        return "the energy does not depend on the points"
    for r, i in ((0, 0), (-1, -1)):
        (slope,) = torch.autograd.grad(values[r, i], x, retain_graph=True, materialize_grads=True)
        size = slope.flatten(2).abs().amax(2)
        bound = 1e-4 * size[r, i].item()
        size[r, i] = 0
        if (size[r] > bound).any():
            return "the energy depends on other points of the batch"
        if (size > bound).any():
            return "the energy depends on the points of other replicates"
    return ""


def _state_fault(energy: Energy) -> str:
    saved = {key: value.clone() for key, value in energy.state_dict().items()}
    try:
        energy.load_state_dict(saved)
    except RuntimeError as error:
        return f"its state cannot be loaded ({str(error).splitlines()[-1].strip()})"
    return ""


def _noise_fault(noise: Noise, streams: Streams, dtype: torch.dtype | None = None) -> str:
    x = noise.sample(5, streams)
    if kind := _no_tensor(x):
        return f"samples are {kind}"
    shape = (noise.replicates, 5, *noise.event_shape)
    if x.shape != shape:
        return f"samples of shape {tuple(x.shape)}, not {shape}"
    if dtype and x.dtype != dtype:
        return f"samples of {x.dtype} for data of {dtype}"
    found = noise.log_prob(x)
    return f"log_prob: {why}" if (why := _misshapen(found, x, axes=2)) else ""


def _sampler_fault(sampler: Any, energy: Energy, x: Tensor, streams: Streams) -> str:
    start, weights = x.clone(), list(energy.parameters())
    before = [(weight.requires_grad, weight.detach().clone()) for weight in weights]
    moved = sampler.run(energy, start, streams)
    if kind := _no_tensor(moved):
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


def _density_fault(dataset: Any, x: Tensor) -> str:
    methods = ("log_prob", "score", "entropy", "parameters")
    lacking = [name for name in methods if getattr(type(dataset), name) is getattr(Dataset, name)]
    own = {*dir(type(dataset)), *vars(dataset)}  # not computed, which may take long
    lacking += [name for name in ("modes", "mode_weights") if name not in own]
    for name in lacking:
        if name.replace("mode_weights", "modes") in dataset.knows:
            return f"{name} is not defined, although the class knows it"
    if "log_prob" in dataset.knows:
        values = dataset.log_prob(x)
        if why := _misshapen(values, x, axes=2) or (
            "NaN at its points" if values.isnan().any() else ""
        ):
            return f"log_prob: {why}"
    if "score" not in dataset.knows:
        return ""
    found = dataset.score(x)
    if isinstance(found, Tensor) and found.shape != x.shape:
        return f"score of shape {tuple(found.shape)} for points of shape {tuple(x.shape)}"
    return f"score: {why}" if (why := _misshapen(found, x, axes=x.ndim)) else ""


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
LEARNED = Contract(
    "objectives",
    "log_z is None, or a tensor of shape (R,)",
    "One number for all replicates: nn.Parameter(torch.zeros(energy.replicates))",
    _log_z_fault,
)
MEASURED = Contract(
    "metrics",
    "a dict with 'value' in it, each quantity of shape (R,), finite and without a graph",
    "A mean over all axes in place of mean(1), a missing detach() or torch.no_grad(), or a "
    "number in place of a tensor",
    _measured_fault,
)
UNSAVED = Contract(
    "objectives",  # and all that a run watches
    "what a call changes are parameters and buffers, which a checkpoint holds",
    "A counter, a list or a tensor that is a plain attribute: register_buffer, or a loss that is a "
    "function of `progress`",
    _unsaved_fault,
)
ENERGY = Contract(
    "energies",
    "energies of shape (R, B), finite, in the type of the points; parameters with R in front; "
    "log_z, where it is known, of shape (R,)",
    "The axis of a layer's output is left over (squeeze(2)), or a tensor made without dtype=",
    _energy_fault,
)
ALONE = Contract(
    "energies",
    "the energy of a replicate depends on its own points alone, and that of a point on this point",
    "A mean or a normalisation over all replicates or over the batch",
    _mixed,
)
SMOOTH = Contract(
    "energies",
    "a second derivative that is not zero everywhere, where the energy is said to be smooth",
    "A piecewise linear activation (relu): say `smooth = False`, or name the setting in `rough`",
    rough,
)
STATE = Contract(
    "energies",
    "a checkpoint restores the energy",
    "A tensor that build() or fit() made and that is a plain attribute: register_buffer or "
    "nn.Parameter",
    _state_fault,
)
NOISE = Contract(
    "noise",
    "samples of shape (R, n, *event_shape) and log-densities of shape (R, B), finite, in the type "
    "of the data, for vectors and for images",
    "A buffer of a shape other than (R, 1, *event_shape), a sum over the last axis alone (use "
    "flatten(2).sum(2)), or a draw without dtype=",
    _noise_fault,
)
SAMPLER = Contract(
    "samplers",
    "points that have moved, of the same shape, finite and without a graph; the start and the "
    "energy are unchanged",
    "An in-place operation on x (begin with a copy), or gradients that were taken without "
    "detaching (ebm_bench.samplers.base.gradient does it)",
    _sampler_fault,
)
DENSITY = Contract(
    "datasets",
    "points of shape (R, n, *event_shape) in float32, log-densities of shape (...), in the type "
    "of the points",
    "A draw without the replicate axis (streams draw it), or a sum over the wrong axis: log_prob "
    "takes (..., *event_shape) and returns (...)",
    _density_fault,
)


def unsaved(names: Sequence[str]) -> str:
    """Describe state that a checkpoint does not hold, and what follows from it."""
    return (
        f"{UNSAVED.words(_changes(names))}. So the steps are not compiled, the training starts "
        "again if it is interrupted, and evaluation does not know this state"
    )


def require_parts(parts: Any, x: Tensor, second_derivatives: bool) -> None:
    """Look at the dataset, the energy and the sampler of a run, if they are of a plugin.

    Parameters
    ----------
    parts : Parts
        Parts of the run, with an energy that is fitted to data.
    x : Tensor of shape (R, N, *event_shape)
        Data.
    second_derivatives : bool
        Whether the objective or a metric takes second derivatives of the energy.

    Raises
    ------
    InputError
        Names the class, what was found and what is expected.
    """
    energy, streams = parts.energy, parts.streams.child("contracts")
    few, evaluations = x[:, :4], energy.evaluations
    if _is_plugin("datasets", parts.dataset):
        DENSITY.require(parts.dataset.name, parts.dataset, few)
    if _is_plugin("energies", energy):
        ENERGY.require(energy.name, energy, few)
        ALONE.require(energy.name, energy, few)
        if second_derivatives and energy.smooth:
            SMOOTH.require(energy.name, energy, x)
        STATE.require(energy.name, energy)
    if _is_plugin("samplers", parts.sampler):
        SAMPLER.require(parts.sampler.name, parts.sampler, energy, few, streams)
    energy.evaluations = evaluations


def require_fitted(parts: Any) -> None:
    """Look at an objective that is fitted, and at its noise, if it is of a plugin.

    As `require_parts`.
    """
    for part in parts.objective.children():
        if isinstance(part, Noise) and _is_plugin("noise", part):
            streams, dtype = parts.streams.child("contracts"), parts.energy.scale.dtype
            NOISE.require(part.name, part, streams, dtype)
    if _is_plugin("objectives", parts.objective):
        LEARNED.require(parts.objective.name, parts.objective, parts.energy.replicates)


def require_apart(parts: Any, loss: Tensor) -> None:
    """Look at what a loss depends on, if it is of a plugin; as `require_parts`."""
    if _is_plugin("objectives", parts.objective):
        APART.require(parts.objective.name, parts.objective, parts.energy, loss)


def _is_plugin(family: str, part: Any) -> bool:
    entry = registry.entries(family).get(part.name)
    return entry is not None and not (entry.module or "").startswith("ebm_bench.")
