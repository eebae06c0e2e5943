"""Contracts of energies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.runs.contracts.base import (
    Contract,
    foreign_draws,
    misshapen,
    no_tensor,
    normaliser_fault,
)
from ebm_bench.runs.contracts.smoothness import rough
from ebm_bench.streams import Streams

_FEW_AND_MANY = 5, 1000  # samples; few that take few values, such as spins, are often equal


@contextmanager
def evaluated(energy: Energy) -> Iterator[None]:
    """Have an energy as it is when it is measured, and put back what is trained."""
    modes = [(part, part.training) for part in energy.modules()]
    energy.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _fields_fault(energy: Energy, event_shape: tuple[int, ...], replicates: int) -> str:
    """Look at what the base class makes and others use."""
    made = {"name": type(energy).name, "event_shape": tuple(event_shape), "replicates": replicates}
    for name, value in made.items():
        if (found := repr(getattr(energy, name, None))) != repr(value):
            return f"{name} is {found}, not {value!r}"
    buffers, shape = dict(energy.named_buffers()), (replicates, 1, *event_shape)
    for name in ("location", "scale"):
        if name not in buffers:
            return f"there is no buffer '{name}'"
        if buffers[name].shape != shape:
            return f"'{name}' has the shape {tuple(buffers[name].shape)}, not {shape}"
    if not isinstance(count := getattr(energy, "evaluations", None), int):
        return f"evaluations is {count!r}, not a number"
    for method in ("sample", "attach", "fit_all"):
        # None switches off a sampler that a base class has.
        absent = method == "sample" and getattr(energy, method, None) is None
        if not absent and hasattr(energy, method) and not callable(getattr(energy, method)):
            return f"{method} is {getattr(energy, method)!r}, not a method"
    return ""


def _exact_fault(energy: Energy, streams: Streams) -> str:
    """Look at samples of an energy that draws them itself."""
    exact = getattr(energy, "sample", None)
    if exact is None:
        return ""
    with torch.no_grad():
        x = exact(5, streams.child("exact"))
        if kind := no_tensor(x):
            return f"sample() returns {kind}"
        shape = (energy.replicates, 5, *energy.event_shape)
        if x.shape != shape:
            return f"samples of shape {tuple(x.shape)}, not {shape}"
        if x.dtype != energy.scale.dtype:
            return f"samples of {x.dtype} for data of {energy.scale.dtype}"
        for n in _FEW_AND_MANY:
            if not (found := foreign_draws(partial(exact, n), streams.child("exact"))):
                return ""
        return found


def _trained_fault(energy: Energy, objective: Any) -> str:
    """Look for something to train: the energy, or log Z alone of one that has no parameters."""
    trained = [p.requires_grad for p in energy.parameters()]
    if any(trained) or (not trained and objective.log_z is not None):
        return ""
    return "no parameter is trained"


def _energy_fault(energy: Energy, x: Tensor) -> str:
    for name, parameter in energy.named_parameters():
        if parameter.shape[:1] != x.shape[:1]:
            return f"'{name}' has the shape {tuple(parameter.shape)}, without R = {len(x)} in front"
        if parameter.dtype != x.dtype:
            return f"'{name}' is of {parameter.dtype} for data of {x.dtype}"
    values = energy(x)
    if kind := no_tensor(values):
        return f"forward() returns {kind}"
    if found := misshapen(values, x, axes=2) or normaliser_fault(energy, len(x)):
        return found
    return "" if values.isfinite().any() else "no energy is finite"


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


def _state_fault(energy: Energy, x: Tensor, create: Callable[[], Energy]) -> str:
    """Load the state of an energy into this one and into a new one."""
    saved = {key: value.clone() for key, value in energy.state_dict().items()}
    other = create().to(x)
    with torch.no_grad():
        expected = energy(x)
        for each in (energy, other):
            try:
                each.load_state_dict(saved)
            except RuntimeError as error:
                return f"its state cannot be loaded ({str(error).splitlines()[-1].strip()})"
        restored = other(x)
        # What changes from call to call is another contract's.
        if _differ(restored, expected) and not _differ(energy(x), expected):
            return "an energy that is restored from its state has other values"
    return ""


def _differ(values: Tensor, others: Tensor) -> bool:
    return not torch.allclose(values, others, rtol=1e-4, atol=1e-5, equal_nan=True)


def _steady_fault(energy: Energy, x: Tensor) -> str:
    with evaluated(energy), torch.no_grad():
        first, *others = (energy(x).clone() for _ in range(3))
    if any(not torch.allclose(first, other, 1e-5, 1e-5, equal_nan=True) for other in others):
        return "the energies of the same points change from call to call"
    return ""


def _gradient_fault(energy: Energy, x: Tensor) -> str:
    """Compare the gradient that objectives use with that of the energy."""
    x = x.detach().requires_grad_()
    (expected,) = torch.autograd.grad(energy(x).sum(), x, materialize_grads=True)
    error = (gradient(energy, x).detach() - expected).norm()
    size = expected.norm().item()
    return f"they differ by {error / size:.1%}" if error > 1e-3 * size else ""


def _count_fault(energy: Energy, x: Tensor) -> str:
    before = energy.evaluations
    energy(x)
    found, points = energy.evaluations - before, x.shape[1]
    return "" if found == points else f"{found} for {points} points"


FIELDS = Contract(
    "energies",
    "event_shape, replicates, location, scale and evaluations as the base class makes them, and "
    "methods where it has methods",
    "An attribute or a buffer of the class's own that has the name of one of these: rename it",
    _fields_fault,
)
TRAINED = Contract(
    "energies",
    "parameters that require a gradient, where the objective has a loss; or none at all, where it "
    "learns log Z",
    "requires_grad_(False), or tensors that are buffers or plain attributes and no nn.Parameter",
    _trained_fault,
)
EXACT = Contract(
    "energies",
    "samples of shape (R, n, *event_shape), drawn from the streams, where there is sample()",
    "sample() is something else (rename it: metrics take its draws for exact ones), or draws "
    "without the axis of replicates",
    _exact_fault,
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
STEADY = Contract(
    "energies",
    "an energy that is a function of the points when it is measured, as metrics call it any number "
    "of times",
    "A counter, or random numbers, in forward(): let them act only `if self.training`",
    _steady_fault,
)
GRADIENT = Contract(
    "energies",
    "the gradient that objectives use is that of automatic differentiation",
    "`layers` is set and is not the network that forward() computes",
    _gradient_fault,
)
COUNTED = Contract(
    "energies",
    "each point is counted once",
    "__call__() is overridden, or forward() calls itself through the module",
    _count_fault,
)
