"""Names of everything that can be chosen: read from the source, imported only when made.

A class becomes available under the snake_case of its name by carrying ``@register`` in a
file of its family's folder. Names, settings and summaries are read from the syntax tree,
so that listing them and validating a suite never imports torch.
"""

import ast
import importlib
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import annotated_types
import pydantic

from ebm_bench.errors import InputError, unknown

T = TypeVar("T")

FAMILIES = ("datasets", "energies", "noise", "objectives", "samplers", "metrics")

_ROOT = Path(__file__).parent
# What the annotation of a setting may be written with.
_VOCABULARY = {
    **{name: getattr(annotated_types, name) for name in ("Gt", "Ge", "Lt", "Le", "Interval")},
    **{name: getattr(typing, name) for name in ("Annotated", "Any", "Literal")},
}


def register(cls: type[T]) -> type[T]:
    """Mark a class as available under the snake_case of its name."""
    return cls


@dataclass(frozen=True)
class Entry:
    """What the source says of one registered class.

    Attributes
    ----------
    family, name : str
        Where and under which name it is found.
    path : pathlib.Path
        The file that defines it (the workflow's jobs depend on it).
    class_name, summary : str
        Its class, and the first line of its docstring.
    settings : dict
        Annotation and default of each setting; ``...`` where there is no default.
    attributes : dict
        Its literal class attributes in capitals-free form (``requires``, ``version``, ...).
    """

    family: str
    name: str
    path: Path
    class_name: str
    summary: str
    settings: dict[str, tuple[Any, Any]]
    attributes: dict[str, Any]

    @cached_property
    def model(self) -> type[pydantic.BaseModel]:
        """A pydantic model that validates the settings."""
        config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
        fields: dict[str, Any] = dict(self.settings)
        return pydantic.create_model(self.class_name, __config__=config, **fields)

    def validate(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Check settings and fill in the defaults.

        Raises
        ------
        InputError
            Naming the setting, its value and what is valid.
        """
        for key in settings:
            if key not in self.settings:
                raise unknown(f"setting of {self.name}", key, self.settings)
        try:
            return self.model(**settings).model_dump()
        except pydantic.ValidationError as error:
            problems = (
                f"{self.name}.{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}"
                for e in error.errors()
            )
            raise InputError("; ".join(problems)) from None


def snake_case(name: str) -> str:
    """Turn a class name into a registry name: ``FlowContrastive`` to ``flow_contrastive``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@cache
def entries(family: str) -> dict[str, Entry]:
    """Read every registered class of a family.

    Returns
    -------
    dict of str to Entry
        In alphabetical order of names.

    Raises
    ------
    InputError
        Where two classes claim one name.
    """
    found: dict[str, Entry] = {}
    for path in sorted((_ROOT / family).glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and _is_registered(node):
                entry = _read(family, path, node)
                if entry.name in found:
                    raise InputError(
                        f"two {family} are named '{entry.name}': {found[entry.name].path}, {path}"
                    )
                found[entry.name] = entry
    return dict(sorted(found.items()))


def names(family: str) -> list[str]:
    """List the registered names of a family."""
    return list(entries(family))


def describe(family: str, name: str) -> Entry:
    """Look one entry up.

    Raises
    ------
    InputError
        With the nearest valid name, where the name is unknown.
    """
    if name not in entries(family):
        raise unknown(_SINGULAR[family], name, entries(family))
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
        Where the name, a setting or a value is not valid.
    """
    entry = describe(family, name)
    module = importlib.import_module(f"ebm_bench.{family}.{entry.path.stem}")
    cls = getattr(module, entry.class_name)
    inherited = {f for base in cls.__mro__[1:] for f in getattr(base, "__annotations__", {})}
    shared = {k: v for k, v in arguments.items() if k in inherited and k not in entry.settings}
    settings = {k: v for k, v in arguments.items() if k not in shared}
    instance = cls(**shared, **entry.validate(settings))
    instance.name = name
    return instance


def shared(*units: str) -> list[Path]:
    """List the code of modules and families that all of their users share.

    Parameters
    ----------
    *units : str
        Modules of the package, whose file it is, or families, of which it is the files without
        a registered class.
    """
    found: list[Path] = []
    for unit in units:
        if unit in FAMILIES:
            own = {entry.path for entry in entries(unit).values()}
            found += [path for path in sorted((_ROOT / unit).glob("*.py")) if path not in own]
        else:
            found.append(_ROOT / f"{unit}.py")
    return found


_SINGULAR = {
    "datasets": "dataset",
    "energies": "energy",
    "noise": "noise",
    "objectives": "objective",
    "samplers": "sampler",
    "metrics": "metric",
}


def _is_registered(node: ast.ClassDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "register" for d in node.decorator_list)


def _read(family: str, path: Path, node: ast.ClassDef) -> Entry:
    settings: dict[str, tuple[Any, Any]] = {}
    attributes: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            source = ast.unparse(statement.annotation)
            if source.startswith(("InitVar", "ClassVar")):
                continue
            annotation = eval(source, {"__builtins__": __builtins__, **_VOCABULARY})
            default = ... if statement.value is None else ast.literal_eval(statement.value)
            settings[statement.target.id] = (annotation, default)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                attributes[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:  # not a literal: of no interest without an import
                continue
    summary = (ast.get_docstring(node) or "").split("\n")[0]
    name = snake_case(node.name)
    return Entry(family, name, path, node.name, summary, settings, attributes)
