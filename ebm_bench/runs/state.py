"""State that no checkpoint holds: what calls change besides parameters and buffers.

A counter that anneals a loss would be compiled as the constant that it was, and start again at
zero where a training is resumed. `Watch` finds such state by comparing digests of all that the
parts of a run refer to.
"""

import hashlib
import logging
import random
import sys
import types
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.runs.assembly import Parts

_LARGE = 2**22  # numbers of one array that are looked at, evenly spaced
_SIMPLE = (type(None), bool, int, float, complex, str, bytes, np.generic)
_WORLD = (types.ModuleType, logging.Logger)  # belongs to no part
_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = {_PACKAGE, "torch", "numpy", *sys.stdlib_module_names}
_FILLED_LATER = (cached_property, types.MemberDescriptorType)
# Attributes of modules that are flattened, and all that torch gives them, mostly empty.
_HELD, _TORCH = ("_parameters", "_buffers", "_modules"), frozenset(vars(nn.Module()))

_Found = Iterator[tuple[Any, str]]


class Watch:
    """Looks at the parts of a run between steps, for what changes and is not saved.

    Parameters
    ----------
    parts : sequence of object
        The energy, the objective, and others.
    saved : sequence of object
        Objects that the parts may refer to and that checkpoints hold otherwise.

    Attributes
    ----------
    seen : dict of str to str
        Digests at the last look, by name; see `plain_state`.
    looks : int
        Number of looks.
    unsaved : list of str
        Names of what has changed between looks.
    """

    def __init__(self, parts: Sequence[object], saved: Sequence[object] = ()):
        self.parts, self.saved = parts, saved
        self.seen: dict[str, str] = {}
        self.looks = 0
        self.unsaved: list[str] = []

    def look(self) -> bool:
        """Compare with the last look; returns whether a change was found for the first time.

        What has appeared is no change, as caches are made when they are first needed.
        """
        now = plain_state(*self.parts, saved=self.saved)
        if self.looks < 2:  # Later, others may have used them, such as a compiler.
            now |= global_generators()
        found = changed(self.seen, now)
        is_first = bool(found) and not self.unsaved
        self.unsaved = sorted({*self.unsaved, *found})
        self.seen |= now
        self.looks += 1
        return is_first

    def differences(self, seen: dict[str, str]) -> list[str]:
        """List what differs from the last look of another process, and look from here on."""
        self.seen, self.looks = plain_state(*self.parts, saved=self.saved), 2
        return changed(seen, self.seen)


@contextmanager
def held(parts: Parts) -> Iterator[None]:
    """Put weights, buffers and the count of evaluations back afterwards."""
    kept = {name: value.clone() for name, value in parts.state_dict().items()}
    evaluations = parts.energy.evaluations
    try:
        yield
    finally:
        parts.load_state_dict(kept)
        parts.energy.evaluations = evaluations


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """List what is in two states and differs."""
    return [name for name in before if after.get(name, before[name]) != before[name]]


def global_generators() -> dict[str, str]:
    """Take digests of the global generators of random numbers, by name."""
    states = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "random": random.getstate(),
    }
    found = {}
    for library, state in states.items():
        walk = _Walk((), ())
        walk.follow(state, "")
        found[f"the global generator of {library}"] = walk.digests[""].hexdigest()
    return found


def plain_state(*parts: object, saved: Iterable[object] = ()) -> dict[str, str]:
    """Describe all that parts of a run refer to, except what their `state_dict` holds.

    Attributes of objects and classes are followed, through containers, other objects, iterators,
    closures and defaults of functions, and globals that a plugin's functions name.

    Parameters
    ----------
    parts : object
        The energy, the objective, and others.
    saved : iterable of object
        Objects to be left out.

    Returns
    -------
    dict of str to str
        Digests by class and attribute, such as ``Annealed.schedule.level``. They are the same in
        every process.
    """
    walk = _Walk(parts, saved)
    for part in parts:
        walk.follow(part, type(part).__name__)
    return {name: digest.hexdigest() for name, digest in walk.digests.items()}


class _Walk:
    """One pass through all that some objects refer to."""

    def __init__(self, parts: Iterable[object], saved: Iterable[object]):
        self.digests: dict[str, Any] = {}
        # The objects are kept, as their ids could be given to others otherwise.
        self._met: dict[int, tuple[str, object]] = {id(one): ("saved", one) for one in saved}
        self._count: Counter[str] = Counter()
        self._saved = _saved_tensors(parts)
        # Packages of plugins, whose functions are looked into.
        self._own = {_package(k) for part in parts for k in type(part).__mro__} - _LIBRARIES
        self._waiting: list[tuple[Any, str]] = []

    def follow(self, value: object, name: str) -> None:
        """Take digests of an object and of all that it refers to."""
        self._waiting.append((value, name))
        while self._waiting:  # no recursion, as chains of references have any length
            found = list(self._visit(*self._waiting.pop()))
            self._waiting += reversed(found)

    def _note(self, name: str, *facts: object) -> None:
        digest = self.digests.setdefault(name, hashlib.blake2b(digest_size=8))
        for fact in facts:
            digest.update(fact if isinstance(fact, bytes) else f"{fact};".encode())

    def _visit(self, value: Any, name: str) -> _Found:
        """Note what a value is; yields what it refers to, with names."""
        if isinstance(value, _SIMPLE):
            self._note(name, type(value).__name__, repr(value))
        elif id(value) in self._met:
            self._note(name, "as", self._met[id(value)][0])
        else:
            self._count[name] += 1
            self._met[id(value)] = f"{name} {self._count[name]}", value
            self._note(name, type(value).__qualname__)
            yield from self._refer(value, name)

    def _refer(self, value: Any, name: str) -> _Found:
        match value:
            case Tensor():
                self._tensor(value, name)
                # Names with an underscore are torch's, whose compiler leaves some.
                yield {k: v for k, v in vars(value).items() if not k.startswith("_")}, name
            case np.ndarray() if not value.dtype.hasobject:
                flat = value.reshape(-1)
                self._note(name, value.dtype, value.shape, flat[:: _stride(flat.size)].tobytes())
            case np.ndarray():
                yield value.tolist(), name
            case torch.Generator():
                yield value.get_state(), name
            case types.FunctionType():
                yield from self._function(value, name)
            case types.MethodType():
                yield from ((value.__self__, name), (value.__func__, name))
            case staticmethod() | classmethod():
                yield value.__func__, name
            case property():
                yield (value.fget, value.fset), name
            case types.GeneratorType():
                frame = value.gi_frame
                yield frame and (frame.f_lasti, dict(frame.f_locals)), name
            case type():
                yield from self._class(value, name)
            case _ if not isinstance(value, _WORLD):
                yield from self._object(value, name)

    def _tensor(self, value: Tensor, name: str) -> None:
        # Those on the device "meta", and uninitialised ones, have no numbers.
        with suppress(RuntimeError, NotImplementedError):
            value = value.detach()
            if value.layout != torch.strided:  # sparse ones have no storage of their own
                value = value.to_dense()
            held = self._saved.get(value.untyped_storage().data_ptr())
            if held is not None and value.numel():
                self._note(name, held, value.shape, value.storage_offset())
                return
            flat = value.reshape(-1)[:: _stride(value.numel())].resolve_conj().contiguous()
            numbers = flat.cpu().view(torch.uint8).numpy().tobytes()
            self._note(name, value.dtype, tuple(value.shape), numbers)

    def _function(self, value: types.FunctionType, name: str) -> _Found:
        self._note(name, value.__qualname__)
        place = value.__globals__.get("__name__", "")
        if not {_package(value), place.partition(".")[0]} & self._own:
            return
        yield (value.__defaults__, value.__kwdefaults__, vars(value)), name
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                yield cell.cell_contents, name
        if place.partition(".")[0] in self._own:
            stem = Path(value.__code__.co_filename).stem
            named = [n for n in _names(value.__code__) if n in value.__globals__]
            yield from ((value.__globals__[n], f"{stem}.{n}") for n in named)

    def _class(self, value: type, name: str) -> _Found:
        self._note(name, value.__qualname__)
        if _package(value) not in {*self._own, _PACKAGE}:
            return
        for key, attribute in vars(value).items():
            # Functions, properties and the like are looked into where they are a plugin's.
            if hasattr(type(attribute), "__get__"):
                wanted = _package(value) in self._own
            else:
                wanted = not key.startswith("__") and key != "_abc_impl"
            if wanted:
                # Not under the name of the value that an object gets when it is first needed.
                mark = "()" if isinstance(attribute, _FILLED_LATER) else ""
                yield attribute, f"{value.__name__}.{key}{mark}"

    def _object(self, value: Any, name: str) -> _Found:
        for kind in type(value).__mro__:
            if id(kind) not in self._met and _package(kind) in {*self._own, _PACKAGE}:
                yield kind, kind.__name__
        yield from ((attribute, f"{name}.{key}") for attribute, key in _attributes(value))
        match value:
            case dict():
                yield from ((each, name) for pair in value.items() for each in pair)
            case list() | tuple() | deque():
                yield from ((each, name) for each in value)
            case set() | frozenset():
                yield from ((each, name) for each in sorted(value, key=_order))
            case _ if _reduces(type(value)):
                with suppress(Exception):  # what cannot be pickled
                    parts = value.__reduce_ex__(4)
                    yield [list(p) if isinstance(p, Iterator) else p for p in parts], name
            case _ if not _has_room(value) and " at 0x" not in (text := repr(value)):
                self._note(name, text)


def _saved_tensors(parts: Iterable[object]) -> dict[int, str]:
    """Name the tensors that checkpoints hold, by the memory that these share with others."""
    return {
        tensor.untyped_storage().data_ptr(): f"saved {key}"
        for part in parts
        if isinstance(part, nn.Module)
        for key, tensor in part.state_dict().items()
        if isinstance(tensor, Tensor)
    }


def _attributes(value: object) -> _Found:
    """List attributes of an object that are its own, those in slots too."""
    found = getattr(value, "__dict__", None)
    for key, attribute in found.items() if isinstance(found, dict) else ():
        if isinstance(value, nn.Module) and key in _HELD:
            yield from ((each, name) for name, each in attribute.items())
        elif isinstance(value, nn.Module) and key in _TORCH:
            if attribute and key != "training":
                yield attribute, key
        elif not (isinstance(value, Energy) and key == "evaluations"):
            yield attribute, key
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for key in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{kind.__name__}{key}" if key.startswith("__") else key
            with suppress(AttributeError):  # not set
                yield getattr(value, mangled), key


def _has_room(value: object) -> bool:
    """Whether an object can have attributes, which it may get when they are first needed."""
    slots = any(vars(kind).get("__slots__") for kind in type(value).__mro__)
    return slots or isinstance(getattr(value, "__dict__", None), dict)


def _reduces(kind: type) -> bool:
    """Whether objects have a way of their own to be pickled, beside their attributes."""
    ways = ("__reduce_ex__", "__reduce__", "__getstate__")
    own = any(getattr(kind, way) is not getattr(object, way) for way in ways)
    return own and not issubclass(kind, nn.Module)


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that code and the functions in it may look up among globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _package(value: Any) -> str:
    """Name the package, or the plugin, that a class or a function comes from."""
    return (value.__module__ or "").partition(".")[0]


def _order(value: object) -> tuple[str, str]:
    return type(value).__qualname__, repr(value) if isinstance(value, _SIMPLE) else ""


def _stride(size: int) -> int:
    return -(-size // _LARGE) or 1
