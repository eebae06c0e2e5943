"""What a source file declares: its registered classes, read without importing anything.

The files of the package and those of users (plugins) are read alike. A plugin may hold classes
of several families, so that the family is told from the class from which each derives.
"""

import ast
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import annotated_types
import pydantic

from ebm_bench.errors import InputError, unknown

# Families, with the class from which what belongs to them derives.
BASES = {
    "datasets": "Dataset",
    "energies": "Energy",
    "noise": "Noise",
    "objectives": "Objective",
    "samplers": "Sampler",
    "metrics": "Metric",
}

_ROOT = Path(__file__).parents[1]
# What the annotation of a setting may be written with.
VOCABULARY = {
    **{name: getattr(annotated_types, name) for name in ("Gt", "Ge", "Lt", "Le", "Interval")},
    **{name: getattr(typing, name) for name in ("Annotated", "Any", "Literal")},
}
# What a class may ask for: an objective of an energy, a metric of a dataset or a training.
REQUIRES: dict[str, tuple[str, ...]] = {
    "objectives": ("smooth", "log_z"),
    "metrics": ("log_prob", "score", "entropy", "grid", "modes", "parameters", "pixels",
                "learned_log_z"),
    **dict.fromkeys(("datasets", "energies", "noise", "samplers"), ()),
}  # fmt: skip
_TYPES = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, tuple)}


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
    module : str, optional
        What to import it from; a plugin that is a mere file has none.
    """

    family: str
    name: str
    path: Path
    class_name: str
    summary: str
    settings: dict[str, tuple[Any, Any]]
    attributes: dict[str, Any]
    module: str | None = None

    @cached_property
    def model(self) -> type[pydantic.BaseModel]:
        """A pydantic model that validates the settings."""
        config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)
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
                if not self.settings:
                    raise InputError(f"unknown setting of {self.name} '{key}': it has no settings")
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


def of_package(family: str, path: Path) -> list[Entry]:
    """Read the registered classes of a file in a family's folder."""
    source = _Source(path)
    module = f"ebm_bench.{family}.{path.stem}"
    return [source.entry(node, family, module) for node in source.registered]


def of_plugin(path: Path, module: str | None = None) -> list[Entry]:
    """Read the registered classes of a user's file.

    Parameters
    ----------
    path : Path
        The file.
    module : str, optional
        By which it is imported, where it is installed.

    Raises
    ------
    InputError
        Naming the file, the line and what is wrong there.
    """
    source = _Source(path)
    if not source.registered:
        raise InputError(
            f"{path}: no class of it is registered; put @register (from ebm_bench.registry) above "
            "the class that it adds"
        )
    found: dict[str, Entry] = {}
    for node in source.registered:
        source.check_decorators(node)
        entry = source.entry(node, source.family(node), module, source.parents(node))
        for setting, (_, default) in entry.settings.items():
            if default is ...:
                raise source.problem(node, f"setting '{setting}' of {node.name} has no default")
        try:
            entry.validate({})
        except InputError as error:
            raise source.problem(node, f"a default is not what its annotation asks for: {error}") \
                from None  # fmt: skip
        for kind, given, valid in (
            ("setting in search of", entry.attributes.get("search", ()), entry.settings),
            ("word in requires of", entry.attributes.get("requires", ()), REQUIRES[entry.family]),
        ):
            for name in given:
                if name not in valid:
                    raise source.problem(node, str(unknown(f"{kind} {node.name}", name, valid)))
        if entry.name in found:
            raise source.problem(node, f"two classes are named '{entry.name}'")
        found[entry.name] = entry
    return list(found.values())


class _Source:
    """A file and its syntax tree."""

    def __init__(self, path: Path):
        self.path = path
        try:
            tree = ast.parse(path.read_text(), str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except SyntaxError as error:
            raise InputError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from None
        except ValueError as error:  # neither text nor source
            raise InputError(f"{path}: not valid Python: {error}") from None
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.registered = [
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef) and "register" in map(_last, node.decorator_list)
        ]
        self.tree = tree

    @cached_property
    def imports(self) -> dict[str, str]:
        """Names that the file imports, with where they are from."""
        return dict(_imports(self.tree))

    def problem(self, node: ast.stmt | ast.expr, text: str) -> InputError:
        """Build the error for a place in the file."""
        return InputError(f"{self.path}:{node.lineno}: {text}")

    def check_decorators(self, node: ast.ClassDef) -> None:
        """Refuse a class whose settings would not become arguments, or which has no identity."""
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _last(decorator.func) == "dataclass":
                given = {k.arg: getattr(k.value, "value", None) for k in decorator.keywords}
                if given.get("eq") is False and given.get("kw_only") is True:
                    return
        raise self.problem(
            node, f"put @dataclass(eq=False, kw_only=True) between @register and class {node.name}"
        )

    def family(self, node: ast.ClassDef) -> str:
        """Tell the family of a class from its bases."""
        for base in self.bases(node):
            if base in self.classes and base != node.name:
                return self.family(self.classes[base])
            package, _, rest = base.partition(".")
            if package == "ebm_bench" and rest.split(".")[0] in BASES:
                return rest.split(".")[0]
        named = ", ".join(map(ast.unparse, node.bases)) or "nothing"
        valid = ", ".join(f"ebm_bench.{family}.base.{base}" for family, base in BASES.items())
        raise self.problem(
            node,
            f"cannot tell what {node.name} is, which derives from {named}. "
            f"Derive it from one of {valid}",
        )

    def bases(self, node: ast.ClassDef) -> list[str]:
        """Name the bases of a class: those of the file by name, others by where they are from."""
        found = []
        for base in node.bases:
            first, dot, rest = ast.unparse(base).partition(".")
            found.append(self.imports.get(first, first) + dot + rest)
        return found

    def entry(
        self, node: ast.ClassDef, family: str, module: str | None, parents: Iterable[Entry] = ()
    ) -> Entry:
        """Read a class, with what it inherits of the settings and attributes of parents."""
        settings: dict[str, tuple[Any, Any]] = {}
        attributes: dict[str, Any] = {}
        for parent in parents:
            settings.update(parent.settings)
            attributes.update(parent.attributes)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if setting := self.setting(node, statement):
                    settings[statement.target.id] = setting
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                try:
                    attributes[statement.targets[0].id] = ast.literal_eval(statement.value)
                except ValueError:  # not a literal: of no interest without an import
                    continue
        summary = (ast.get_docstring(node) or "").split("\n")[0]
        name = snake_case(node.name)
        return Entry(family, name, self.path, node.name, summary, settings, attributes, module)

    def parents(self, node: ast.ClassDef) -> Iterable[Entry]:
        """Read the classes of the file, and registered ones, from which a class derives."""
        for base in reversed(self.bases(node)):
            parts = base.split(".")
            if base in self.classes and base != node.name:
                own = self.classes[base]
                yield self.entry(own, "", None, self.parents(own))
            elif parts[0] == "ebm_bench" and len(parts) == 4 and parts[1] in BASES:
                path = _ROOT / parts[1] / f"{parts[2]}.py"
                entries = of_package(parts[1], path) if path.exists() else []
                yield from (entry for entry in entries if entry.class_name == parts[3])

    def setting(self, node: ast.ClassDef, statement: ast.AnnAssign) -> tuple[Any, Any] | None:
        """Read the annotation and the default of a setting; None for what is no setting."""
        source = ast.unparse(statement.annotation)
        if source.startswith(("InitVar", "ClassVar")):
            return None
        name = ast.unparse(statement.target)
        try:
            annotation = _evaluate(statement.annotation)
        except (TypeError, ValueError):
            raise self.problem(
                statement,
                f"the annotation of '{name}' of {node.name} is {source}, and a setting is written "
                f"with Python's own types and {', '.join(VOCABULARY)}. What is no setting is a "
                "ClassVar, or made in a method",
            ) from None
        if statement.value is None:
            return annotation, ...
        try:
            return annotation, ast.literal_eval(statement.value)
        except ValueError:
            raise self.problem(
                statement,
                f"the default of setting '{name}' of {node.name} is "
                f"{ast.unparse(statement.value)}, and settings are read without running the file: "
                "write a literal",
            ) from None


def _evaluate(node: ast.expr) -> Any:
    """Make the type that an annotation names, without executing anything of the file."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in _TYPES or name in VOCABULARY:
            return _TYPES.get(name) or VOCABULARY[name]
        case ast.Tuple(elts=parts):
            return tuple(map(_evaluate, parts))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _evaluate(left) | _evaluate(right)
        case ast.Subscript(value=of, slice=inner):
            return _evaluate(of)[_evaluate(inner)]
        case ast.Call(func=ast.Name(id=name)) if name in VOCABULARY:
            named = {keyword.arg: _evaluate(keyword.value) for keyword in node.keywords}
            return VOCABULARY[name](*map(_evaluate, node.args), **named)
    raise ValueError(ast.unparse(node))


def _imports(tree: ast.Module) -> Iterable[tuple[str, str]]:
    """Yield each name that a file imports, and where it is from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)


def _last(node: ast.expr) -> str:
    """Read the last part of a dotted name: of both ``register`` and ``registry.register``."""
    return ast.unparse(node).split(".")[-1]
