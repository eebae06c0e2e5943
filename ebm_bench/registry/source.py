"""What a source file declares: its registered classes, read without importing anything.

The files of the package and those of users (plugins) are read alike. A plugin may hold classes
of several families; the family of a class follows from its base classes.
"""

import ast
import re
import typing
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import annotated_types
import pydantic

from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.entries import FAMILIES, Entry

_ROOT = Path(__file__).parents[1]
# What the annotation of a setting may be written with.
VOCABULARY = {
    **{name: getattr(annotated_types, name) for name in ("Gt", "Ge", "Lt", "Le", "Interval")},
    **{name: getattr(typing, name) for name in ("Annotated", "Any", "Literal")},
}
_TYPES = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, tuple)}


def snake_case(name: str) -> str:
    """Turn a class name into a registry name: ``FlowContrastive`` to ``flow_contrastive``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def of_package(family: str, path: Path) -> list[Entry]:
    """Read the registered classes of a file in a family's folder."""
    source = _packaged(path)
    module = f"ebm_bench.{family}.{path.stem}"
    return [source.entry(node, family, module) for node in source.registered]


def of_plugin(path: Path, module: str | None = None) -> list[Entry]:
    """Read the registered classes of a user's file.

    Parameters
    ----------
    path : Path
        The file.
    module : str, optional
        Module that it is imported as, if it is installed.

    Raises
    ------
    InputError
        Names the file, the line and what is wrong there.
    """
    source = _Source(path)
    if not source.registered:
        raise InputError(
            f"{path}: it registers no class; put @register (from ebm_bench.registry) above "
            "the class that it adds"
        )
    found: dict[str, Entry] = {}
    for node in source.registered:
        if not node.name.isascii():
            raise source.problem(
                node,
                f"the class name {node.name} is not in ASCII, and folders and LaTeX macros are "
                "called by it: rename the class",
            )
        source.check_decorators(node)
        entry = source.entry(node, source.family(node), module)
        source.check_settings(node, entry)
        if entry.name in found:
            raise source.problem(node, f"two classes are named '{entry.name}'")
        found[entry.name] = entry
    return list(found.values())


class _Source:
    """A file and its syntax tree."""

    def __init__(self, path: Path):
        self.path = path
        if path.is_fifo() or path.is_char_device():  # which may have no end
            raise InputError(f"{path}: is a pipe or a device, not a file")
        try:
            # Bytes, of which Python itself finds the encoding.
            tree = ast.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except SyntaxError as error:
            place = f"{path}:{error.lineno}" if error.lineno else path
            raise InputError(f"{place}: not valid Python: {error.msg}") from None
        except (ValueError, MemoryError, RecursionError) as error:  # no source, or nested too deep
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
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            elif isinstance(node, ast.Import):
                found |= {a.asname: a.name for a in node.names if a.asname}
        return found

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

    def check_settings(self, node: ast.ClassDef, entry: Entry) -> None:
        """Refuse settings without a valid default, and a search over unknown settings."""
        for setting, (_, default) in entry.settings.items():
            if default is ...:
                raise self.problem(node, f"setting '{setting}' of {node.name} has no default")
            if setting in FAMILIES[entry.family].declared - {"noise"} | {"name"}:
                raise self.problem(node, f"{setting} of {node.name} describes the class: write "
                                   f"{setting}: ClassVar or no annotation")  # fmt: skip
            if setting.startswith("_"):
                raise self.problem(node, f"{setting} of {node.name} is no setting, as it begins "
                                   "with _: write ClassVar, or make it in a method")  # fmt: skip
        try:
            entry.validate({})
        except (InputError, TypeError) as error:  # TypeError: of a bound on what has no order
            raise self.problem(node, f"a default does not fit its annotation: {error}") from None
        try:
            for setting, values in getattr(entry, "search", {}).items():
                for value in values if setting in entry.settings else ():
                    entry.normalise({setting: value})
        except InputError as error:
            raise self.problem(node, f"search of {node.name}: {error}") from None
        for statement in node.body:
            match statement:
                case ast.FunctionDef(name="files", decorator_list=[ast.Name(id="property")]):
                    raise self.problem(statement, f"files of {node.name} is read without running "
                                       "the file: write a tuple of names of settings")  # fmt: skip
        for attribute in ("search", "files", "rough"):
            for name in getattr(entry, attribute, ()):
                if name not in entry.settings:
                    kind = f"setting in {attribute} of {node.name}"
                    raise self.problem(node, str(unknown(kind, name, entry.settings)))

    def family(self, node: ast.ClassDef) -> str:
        """Find the family of a class from its bases."""
        for source, _ in self.lineage(node):
            if source.path.parent.parent == _ROOT:
                return source.path.parent.name
        named = ", ".join(map(ast.unparse, node.bases)) or "nothing"
        bases = [f"ebm_bench.{name}.base.{family.base}" for name, family in FAMILIES.items()]
        raise self.problem(
            node,
            f"{node.name} belongs to no family, since it derives from {named}. "
            f"Derive it from one of {', '.join(bases)}",
        )

    def lineage(self, node: ast.ClassDef) -> Iterator[tuple["_Source", ast.ClassDef]]:
        """Yield the base classes of this file and of families, then the class itself."""
        for base in reversed(node.bases):
            first, dot, rest = ast.unparse(base).partition(".")
            name = self.imports.get(first, first) + dot + rest
            match name.split("."):
                case [_] if name in self.classes and self.classes[name].lineno < node.lineno:
                    yield from self.lineage(self.classes[name])
                case ["ebm_bench", family, file, class_name] if family in FAMILIES:
                    path = _ROOT / family / f"{file}.py"
                    source = _packaged(path) if path.exists() else self
                    if class_name in source.classes:
                        yield from source.lineage(source.classes[class_name])
        yield self, node

    def entry(self, node: ast.ClassDef, family: str, module: str | None) -> Entry:
        """Read a class with what it inherits.

        Raises
        ------
        InputError
            Names the line of an attribute whose value is not valid.
        """
        contract = _packaged(_ROOT / family / "base.py")
        settings: dict[str, tuple[Any, Any]] = {}
        attributes: dict[str, _Attribute] = {}
        base = contract, contract.classes[FAMILIES[family].base]
        # Each class once, in the reverse of Python's order of method resolution.
        for source, cls in dict.fromkeys([base, *self.lineage(node)]):
            if source is not contract:
                settings.update(source.settings(cls))
            attributes.update(source.attributes(cls, FAMILIES[family].declared))
        try:
            return FAMILIES[family].entry(
                family=family,
                name=snake_case(node.name),
                path=self.path,
                class_name=node.name,
                docstring=ast.get_docstring(node) or "",
                settings=settings,
                module=module,
                **{name: attribute.value for name, attribute in attributes.items()},
            )
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            at = attributes[name]
            if first["type"] == "literal_error":
                valid = re.findall("'(.*?)'", first["ctx"]["expected"])
                text = str(unknown(f"word in {name} of {node.name}", first["input"], valid))
            else:
                text = f"{name} of {node.name} is {at.value!r}: {first['msg']}"
            raise at.source.problem(at.statement, text) from None

    def attributes(self, node: ast.ClassDef, names: set[str]) -> Iterator[tuple[str, "_Attribute"]]:
        """Read those class attributes that describe a class."""
        for statement in node.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in names:
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                    name in names and ast.unparse(statement.annotation).startswith("ClassVar")
                ):
                    pass
                case _:
                    continue
            try:
                yield name, _Attribute(ast.literal_eval(value), self, statement)
            except ValueError:
                raise self.problem(
                    statement,
                    f"{name} of {node.name} is {ast.unparse(value)}, and it is read without "
                    "running the file: write a literal",
                ) from None

    def settings(self, node: ast.ClassDef) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """Read annotation and default of each setting."""
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    if setting := self.setting(node, statement):
                        yield name, setting

    def setting(self, node: ast.ClassDef, statement: ast.AnnAssign) -> tuple[Any, Any] | None:
        """Read the annotation and the default of a setting; None for what is no setting."""
        source = ast.unparse(statement.annotation)
        if source.startswith(("InitVar", "ClassVar")):
            return None
        name = ast.unparse(statement.target)
        try:
            annotation = _evaluate(statement.annotation)
            if self.path.parent.parent != _ROOT:  # the package's own are valid
                with suppress(pydantic.ValidationError):
                    pydantic.TypeAdapter(annotation).validate_python(None)
        except Exception:  # of many kinds: whatever cannot be evaluated, or checked by pydantic
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


class _Attribute(NamedTuple):
    """Value of a class attribute, and where it is assigned."""

    value: Any
    source: _Source
    statement: ast.stmt


@cache
def _packaged(path: Path) -> _Source:
    """Read a file of the package."""
    return _Source(path)


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
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in VOCABULARY:
            named = {k.arg: _evaluate(k.value) for k in keywords if k.arg}
            return VOCABULARY[name](*map(_evaluate, args), **named)
    raise ValueError(ast.unparse(node))


def _last(node: ast.expr) -> str:
    """Read the last part of a dotted name: of both ``register`` and ``registry.register``."""
    return ast.unparse(node).split(".")[-1]
