"""Everything that objects refer to, as digests by name."""

import hashlib
import logging
import os
import sys
import types
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy

_LARGE = 2**22  # numbers of one array that are looked at, evenly spaced
_SIMPLE = (type(None), bool, int, float, complex, str, bytes, np.generic)
VARIABLE = "the environment variable "
_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = {_PACKAGE, "torch", "numpy", *sys.stdlib_module_names}
_FILLED_LATER = (cached_property, types.MemberDescriptorType)
# Of C, so that they hold nothing.
_FIXED = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
# Attributes of modules that are flattened, and all that torch gives them, mostly empty.
_HELD, _TORCH = ("_parameters", "_buffers", "_modules"), frozenset(vars(nn.Module()))

_Found = Iterator[tuple[Any, str]]


def plain_state(*parts: object, saved: Iterable[object] = ()) -> dict[str, str]:
    """Describe all that parts of a run refer to, except what their `state_dict` holds.

    Attributes of objects and classes are followed, through containers, other objects, iterators,
    closures and defaults of functions, and globals that a plugin's functions name. Of modules,
    loggers, the environment, and functions and classes of libraries only those attributes are
    followed whose names are in the code of the plugin, or among the texts that it holds.

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
    walk.follow([(part, type(part).__name__) for part in parts])
    return {name: digest.hexdigest() for name, digest in walk.digests.items()}


def digest_of(value: object) -> str:
    """Take one digest of a value that refers to no part of a run."""
    walk = _Walk((), ())
    walk.follow([(value, "")])
    return walk.digests[""].hexdigest()


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
        self._parts = {id(part): type(part).__name__ for part in parts}
        self._waiting: list[tuple[Any, str]] = []
        # Texts and names in the code of plugins, what they may be names in, and where they were.
        self._names: set[str] = set()
        self._spaces: list[tuple[Any, str]] = []
        self._opened: set[tuple[int, str]] = set()

    def follow(self, found: list[tuple[Any, str]]) -> None:
        """Take digests of objects, given with names, and of all that they refer to."""
        while found or self._waiting:
            self._waiting += reversed(found)
            while self._waiting:  # no recursion, as chains of references have any length
                self._waiting += reversed(list(self._visit(*self._waiting.pop())))
            found = list(self._open())

    def _open(self) -> _Found:
        """Look at what code names in what is not its own."""
        for space, name in self._spaces:
            inside, prefix = self._inside(space, name)
            for key in sorted(self._names & inside.keys()):
                if (id(space), key) not in self._opened and not isinstance(inside[key], _FIXED):
                    self._opened.add((id(space), key))
                    yield inside[key], prefix + key

    def _inside(self, space: Any, name: str) -> tuple[Mapping[str, Any], str]:
        """Give what a space has by name, and what comes before these names."""
        if space is os.environ:
            return dict(space), VARIABLE
        if space is sys.modules:
            return space, ""
        if isinstance(space, types.ModuleType):
            file = getattr(space, "__file__", None)
            own = self._is_own(space.__name__.partition(".")[0])
            name = Path(file).stem if own and file else space.__name__
        return vars(space), f"{name}."

    def _is_own(self, package: str) -> bool:
        """Whether a package is a plugin's, or a user's that no installation put there."""
        if package in self._own:
            return True
        file = getattr(sys.modules.get(package), "__file__", None) or "site-packages"
        installed = "site-packages" in file or "dist-packages" in file
        return not installed and package not in _LIBRARIES

    def _note(self, name: str, *facts: object) -> None:
        digest = self.digests.setdefault(name, hashlib.blake2b(digest_size=8))
        for fact in facts:
            digest.update(fact if isinstance(fact, bytes) else f"{fact};".encode())

    def _visit(self, value: Any, name: str) -> _Found:
        """Note what a value is; yields what it refers to, with names."""
        part = self._parts.get(id(value), name)
        if isinstance(value, _SIMPLE):
            self._note(name, type(value).__name__, repr(value))
            if isinstance(value, str):
                self._names.add(value)
        elif id(value) in self._met:
            self._note(name, "as", self._met[id(value)][0])
        elif part != name:  # is described as a part
            self._note(name, "as", part)
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
            case ContextVar():
                yield value.get("unset"), name
            case weakref.ReferenceType():
                yield value(), name
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
            case mmap():
                with suppress(ValueError):  # closed
                    self._note(name, value[:: _stride(len(value))])
            case memoryview():
                flat = np.asarray(value).reshape(-1)  # an object, if it was released
                self._note(name, flat.shape, flat[:: _stride(flat.size)].tobytes())
            case type():
                yield from self._class(value, name)
            case types.ModuleType() | logging.Logger():
                self._spaces.append((value, name))
            case _ if value is os.environ or value is sys.modules:
                self._spaces.append((value, name))
            case _:
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
        place = value.__globals__.get("__name__", "").partition(".")[0]
        if not (self._is_own(_package(value)) or self._is_own(place)):
            self._spaces.append((value, name))
            return
        yield (value.__defaults__, value.__kwdefaults__, vars(value)), name
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                yield cell.cell_contents, name
        if self._is_own(place):
            stem = Path(value.__code__.co_filename).stem
            for named in dict.fromkeys(_names(value.__code__)):
                self._names.add(named)
                if named in value.__globals__:
                    yield value.__globals__[named], f"{stem}.{named}"
                elif named in sys.modules:  # which the function itself may import
                    yield sys.modules[named], named

    def _class(self, value: type, name: str) -> _Found:
        self._note(name, value.__qualname__)
        if self._is_own(_package(type(value))):
            yield type(value), type(value).__name__
        own = self._is_own(_package(value))
        if not own and _package(value) != _PACKAGE:
            self._spaces.append((value, value.__name__))
            return
        for key, attribute in vars(value).items():
            # Functions, properties and the like are looked into where they are a plugin's.
            if hasattr(type(attribute), "__get__"):
                wanted = own
            else:
                wanted = not key.startswith("__") and key != "_abc_impl"
            if wanted:
                # Not under the name of the value that an object gets when it is first needed.
                mark = "()" if isinstance(attribute, _FILLED_LATER) else ""
                yield attribute, f"{value.__name__}.{key}{mark}"

    def _object(self, value: Any, name: str) -> _Found:
        for kind in type(value).__mro__:
            known = id(kind) in self._met
            if not known and (_package(kind) == _PACKAGE or self._is_own(_package(kind))):
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
    """Names that code and the functions in it may look up, among globals or elsewhere."""
    yield from code.co_names
    constants = [*code.co_consts]
    for constant in constants:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple | frozenset):
            constants += sorted(constant, key=_order)
        elif isinstance(constant, str):
            yield constant


def _package(value: Any) -> str:
    """Name the package, or the plugin, that a class or a function comes from."""
    return (value.__module__ or "").partition(".")[0]


def _order(value: object) -> tuple[str, str]:
    return type(value).__qualname__, repr(value) if isinstance(value, _SIMPLE) else ""


def _stride(size: int) -> int:
    return -(-size // _LARGE) or 1
