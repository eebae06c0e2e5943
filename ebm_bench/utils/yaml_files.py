"""Reading and validation of YAML files.

Nothing here imports torch, since the workflow reads suites each time it starts.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ebm_bench.errors import InputError, shortened, unknown
from ebm_bench.utils.files import require_utf8

DEEPEST = 50  # levels of a file, of which a suite has seven
EXTENDS = "extends"  # key of a file that states only where it differs from another


def read(path: str | Path) -> dict[str, Any]:
    """Read a YAML file, and refuse duplicate keys.

    A file with the key ``extends`` names another one of its folder, and states only where it
    differs: its values replace those of that file, and mappings are merged key by key.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        Names the file and the problem.
    """
    content = _read(Path(path))
    if not isinstance(content, dict) or EXTENDS not in content:
        return content
    other = content.pop(EXTENDS)
    if not isinstance(other, str) or Path(other).name != other:
        raise InputError(f"{path}: {EXTENDS}: {other!r} is not the name of a file beside it")
    extended = _read(Path(path).parent / other)
    if not isinstance(extended, dict) or EXTENDS in extended:
        raise InputError(f"{path}: {EXTENDS}: {other} is no suite, or extends another file itself")
    return _merged(extended, content)


def extended(path: str | Path) -> list[Path]:
    """List the files that a file extends, which `read` reads besides: one, or none.

    Parameters
    ----------
    path : str or Path
        The file, which `read` can read.
    """
    content = _read(Path(path))
    other = content.get(EXTENDS) if isinstance(content, dict) else None
    return [Path(path).parent / other] if other else []


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; everything else is replaced."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        lower, upper = below[key], above[key]
        if isinstance(lower, dict) and isinstance(upper, dict):
            merged[key] = _merged(lower, upper)
    return merged


def _read(path: Path) -> dict[str, Any]:
    """Read a file alone."""
    require_utf8(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    try:
        return yaml.load(text, Loader=_UniqueKeys) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None


def validate(model: type[BaseModel], content: Any, source: str) -> Any:
    """Validate the content of a file.

    Parameters
    ----------
    model : type of BaseModel
        Model that defines valid keys and values.
    content : object
        Content of the file.
    source : str
        Origin of the content, for messages.

    Raises
    ------
    InputError
        One line per problem: source, key, problem and valid values.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [f"{source}: {_explain(problem, model)}" for problem in error.errors()]
        raise InputError("\n".join(problems)) from None


class _UniqueKeys(yaml.SafeLoader):
    """A loader that refuses keys that are no texts, and duplicates instead of keeping the last.

    Whatever cannot be read is refused with its place in the file.
    """

    depth = 0

    def compose_node(self, parent, index):
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {DEEPEST} lists or keys are within each other",
                problem_mark=self.peek_event().start_mark,
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node, deep=True):
        # Deep, as what contains itself is refused then.
        try:
            value = super().construct_object(node, deep=True)
            if isinstance(node, yaml.ScalarNode):
                _refuse_odd(node.value, value)
            return value
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"{error} (read as {kind})", problem_mark=node.start_mark
            ) from None

    def construct_mapping(self, node, deep=False):
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.tag != "tag:yaml.org,2002:str":
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value or 'before the colon'} is read as "
                        f"{super().construct_object(key)!r}, not as a text; "
                        f"quote it: '{key.value}'",
                        problem_mark=key.start_mark,
                    )
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"duplicate key '{key.value}'", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse_odd(written: str, value: Any) -> None:
    """Refuse what could not be printed or stored, and numbers that are not what they seem.

    Neither half a surrogate pair nor a thousand digits could be printed, and no path has a zero
    byte. YAML 1.1 takes 010 for eight and 1:30 for ninety.
    """
    str(value).encode()
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a zero byte")
    octal = isinstance(value, int) and value and re.fullmatch(r"[-+]?0[0-7_]+", written)
    if octal or (isinstance(value, int | float) and ":" in written):
        raise ValueError(f"the number {written} would be {value}: write that, or quote a text")


def _explain(problem, model: type[BaseModel]) -> str:
    *parents, last = problem["loc"] or ("",)
    where = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    at = f"{where}: " if where else ""
    if problem["type"] == "extra_forbidden":
        for parent in parents:
            field = model.model_fields.get(str(parent))
            model = next(_models(field.annotation), model) if field else model
        return f"{at}{unknown('key', str(last), model.model_fields)}"
    if problem["type"] == "value_error":
        return f"{at}{problem['ctx']['error']}"
    given = problem["input"]
    shown = "" if isinstance(given, dict) else f" (given: {shortened(repr(given))})"
    quote = problem["type"] == "string_type" and not isinstance(given, dict | list)
    advice = "; YAML reads no, on, null, 1 and dates so: quote what is a text" if quote else ""
    return f"{at}{problem['msg']}{shown}{advice}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the models in an annotation such as ``dict[str, Budget] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
