"""Names of everything that can be chosen: read from the source, imported only when made.

A class becomes available under the snake_case of its name by carrying ``@register`` in a
file of its family's folder, in a plugin (a file that `load` is given), or in an installed
module that the entry point group ``ebm_bench.plugins`` names. Names, settings and summaries are
read from the syntax tree, so that listing them and validating a suite never imports torch.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, overload

from ebm_bench.errors import InputError, shortened, unknown
from ebm_bench.registry import source
from ebm_bench.registry.entries import (
    FAMILIES,
    DatasetEntry,
    EnergyEntry,
    Entry,
    MetricEntry,
    ObjectiveEntry,
)

T = TypeVar("T")

GROUP = "ebm_bench.plugins"  # of entry points

_ROOT = Path(__file__).parents[1]
# As with modules, what a process has loaded once is there for all that it does.
_loaded: dict[Path, list[Entry]] = {}


def register(cls: type[T]) -> type[T]:
    """Mark a class as available under the snake_case of its name."""
    cls.name = source.snake_case(cls.__name__)  # type: ignore[attr-defined]  # of every family
    return cls


def load(path: str | Path) -> list[Entry]:
    """Make the registered classes of a file available in this process, or read it again.

    The file is not imported before one of its classes is made.

    Parameters
    ----------
    path : str or Path
        A Python file, of which everything is used that carries ``@register``.

    Returns
    -------
    list of Entry
        What it adds.

    Raises
    ------
    InputError
        Names the file, the line and the problem; also if a name is taken.
    """
    try:
        path = Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # no path, or a link to itself
        raise InputError(f"{path}: cannot be read ({error})") from None
    if path.suffix != ".py":
        raise InputError(f"{path}: no plugin, as its name does not end in .py")
    found = source.of_plugin(path)
    for entry in found:
        _refuse_taken(entry, entries(entry.family))
    _loaded[path] = found
    entries.cache_clear()
    return found


@cache
def entries(family: str) -> dict[str, Any]:
    """Read every registered class of a family.

    Returns
    -------
    dict of str to Entry
        In alphabetical order of names.

    Raises
    ------
    InputError
        If two classes have the same name.
    """
    found: dict[str, Entry] = {}
    loaded = [entry for several in _loaded.values() for entry in several]
    for entry in [*packaged(family), *_installed(), *loaded]:
        if entry.family == family:
            _refuse_taken(entry, found)
            found[entry.name] = entry
    return dict(sorted(found.items()))


@cache
def packaged(family: str) -> list[Any]:
    """Read the registered classes of a family that the package itself has."""
    files = sorted((_ROOT / family).glob("*.py"))
    return [entry for path in files for entry in source.of_package(family, path)]


def names(family: str) -> list[str]:
    """List the registered names of a family."""
    return list(entries(family))


@overload
def describe(family: Literal["datasets"], name: str) -> DatasetEntry: ...
@overload
def describe(family: Literal["energies"], name: str) -> EnergyEntry: ...
@overload
def describe(family: Literal["objectives"], name: str) -> ObjectiveEntry: ...
@overload
def describe(family: Literal["metrics"], name: str) -> MetricEntry: ...
@overload
def describe(family: str, name: str) -> Entry: ...
def describe(family: str, name: str) -> Any:
    """Look one entry up.

    Raises
    ------
    InputError
        With the nearest valid name, where the name is unknown.
    """
    if name not in entries(family):
        raise unknown(FAMILIES[family].singular, name, entries(family))
    return entries(family)[name]


def create(family: str, name: str, /, **arguments: Any) -> Any:
    """Make an instance by name, with validated settings.

    Parameters
    ----------
    family, name : str
        What to make.
    **arguments
        Its settings, and what its family's base class asks for (``event_shape``, ...).

    Raises
    ------
    InputError
        If the name, a setting or a value is not valid, or a plugin cannot be imported.
    """
    entry = describe(family, name)
    cls = getattr(imported(entry), entry.class_name)
    inherited = {f for base in cls.__mro__[1:] for f in getattr(base, "__annotations__", {})}
    shared = {k: v for k, v in arguments.items() if k in inherited and k not in entry.settings}
    settings = {k: v for k, v in arguments.items() if k not in shared}
    return cls(**shared, **entry.validate(settings))


def _refuse_taken(entry: Entry, others: dict[str, Entry]) -> None:
    other = others.get(entry.name)
    if other and (other.path, other.class_name) != (entry.path, entry.class_name):
        raise InputError(
            f"two {entry.family} are named '{entry.name}': {other.path}, {entry.path}. Rename one"
        )


@cache
def _installed() -> list[Entry]:
    """Read what installed packages add."""
    found = []
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.value):
        path = _file_of(point.module)
        if path is None:
            raise InputError(
                f"the installed plugin '{point.name}' has no file {point.module}; "
                f"{point.dist.name if point.dist else 'its package'} is broken, reinstall it"
            )
        found += source.of_plugin(path, point.module)
    return found


def _file_of(module: str) -> Path | None:
    """Find the file of a module without importing it or the packages that it is in."""
    first, *rest = module.split(".")
    spec = importlib.util.find_spec(first)
    for depth in range(len(rest)):
        if spec is None:
            return None
        name = ".".join([first, *rest[: depth + 1]])
        places = spec.submodule_search_locations
        spec = importlib.machinery.PathFinder.find_spec(name, places)
    return Path(spec.origin).resolve() if spec and spec.origin else None


def imported(entry: Entry) -> ModuleType:
    """Import the module of an entry, a plugin's file by its path.

    Raises
    ------
    InputError
        Names the line of a plugin that cannot be imported.
    """
    if entry.module and entry.packaged:
        return importlib.import_module(entry.module)
    try:
        if entry.module:
            return importlib.import_module(entry.module)
        return _import_file(entry.path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may also exit
        at, below = str(entry.path), ""
        for file, line, _ in _frames(error):
            if os.path.realpath(file) == str(entry.path):
                at, below = f"{entry.path}:{line}", ""
            elif at != str(entry.path) and not is_library(file):
                below = f", in {file}:{line}"
        cause = f"{type(error).__name__}: {error}{below}"
        raise InputError(f"{at}: cannot be imported: {cause}") from error


def raised_in(error: BaseException) -> str:
    """Describe an error that a plugin's code raised, with its place; empty for other errors.

    Modules from the folder of a plugin are its code, and so is what it calls that is no library.
    """
    files = {str(entry.path) for several in _loaded.values() for entry in several}
    with suppress(InputError):  # what is wrong with another plugin is no news here
        files |= {str(entry.path) for entry in _installed()}
    folders = {os.path.dirname(file) for file in files}
    place, below = "", ""
    for file, line, name in _frames(error):
        # Below a link the names differ. The innermost counts: what is below was called by it.
        if os.path.realpath(file) in files:
            place, below = f"{file}:{line}: {name}()", ""
        elif not is_library(file) and (place or os.path.dirname(file) in folders):
            below = f"{file}:{line}: {name}()"
    try:
        text = shortened(str(error), 1000)
    except Exception:  # of a class of the plugin
        text = "(it has no text)"
    where, inside = (place, below and f", in {below}") if place else (below, "")
    return where and f"{where} raised {type(error).__name__}: {text}{inside}"


def _frames(error: BaseException) -> Iterator[tuple[str, int, str]]:
    """List file, line and function of the frames of a traceback, the innermost last."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        yield code.co_filename, trace.tb_lineno, code.co_qualname
        trace = trace.tb_next


def is_library(file: str) -> bool:
    """Whether a file is of this package, of Python, or installed; or no file at all."""
    path = Path(os.path.realpath(file))
    own = any(path.is_relative_to(each) for each in (_ROOT, sysconfig.get_path("stdlib")))
    installed = {"site-packages", "dist-packages"} & {*path.parts}
    return own or bool(installed) or not os.path.exists(path)


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, and anew when it was edited."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"ebm_bench_plugin_{path.stem}_{digest}"
    code = path.read_bytes()
    known = sys.modules.get(name)
    if known is not None and known.__dict__["SOURCE"] == code:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ImportError("its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["SOURCE"] = code
    sys.modules[name] = module
    try:
        # Not by the loader, which takes compiled code of the same second and size for current.
        exec(compile(code, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
