"""Compiled functions of networks, for inputs of fixed shapes."""

import itertools
import types
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ebm_bench.derivatives import sweeps
from ebm_bench.derivatives.base import Network

_COUNT = itertools.count()


def compile_method(
    method: Callable[..., Any], owner: object, **options: str | int | bool | Callable[..., Any]
) -> Callable[..., Any]:
    """Compile a method of an owner as a whole, for inputs like those of its first call.

    Shapes, dtypes and modules must stay what they are, so that nothing is guarded: all the more
    must no other owner find what is compiled here under the same code.
    """
    assert isinstance(method, types.FunctionType)
    options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    code = method.__code__.replace(co_name=f"{method.__name__}_{next(_COUNT)}")
    function = types.FunctionType(code, method.__globals__).__get__(owner)
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


class CompiledSlopes:
    """The value and gradient of a network, which samplers use inside of ``with`` this.

    Parameters
    ----------
    energy : Network
        Whose layers are differentiated; see `sweeps.value_and_gradient`. Its weights may change.

    Attributes
    ----------
    learns : bool
        Whether points of a shape that was not seen before are compiled for.
    """

    active: ClassVar["CompiledSlopes | None"] = None

    def __init__(self, energy: Network):
        self.energy, self.learns = energy, True
        self._layers = list(energy.layers)
        self._functions: dict[torch.Size, Callable[..., Any]] = {}

    def __enter__(self) -> None:
        CompiledSlopes.active = self

    def __exit__(self, *error: object) -> None:
        CompiledSlopes.active = None

    def know(self, energy: Network, u: Tensor) -> bool:
        """Whether they are of an energy, at points (R, B, *event_shape) of a shape compiled for."""
        return energy is self.energy and (self.learns or u.shape in self._functions)

    @torch.no_grad()
    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate and differentiate at points (R, B, *event_shape)."""
        if u.shape not in self._functions:
            self._functions[u.shape] = compile_method(CompiledSlopes._sweep, self)
        return self._functions[u.shape](u)

    def _sweep(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return sweeps.value_and_gradient(self._layers, u)
