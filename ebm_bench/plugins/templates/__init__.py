"""Templates of plugins: a small, working class of each family."""

import re
from pathlib import Path

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.source import snake_case

_FOLDER = Path(__file__).parent
_CLASS = "MyOwn"  # name of the class in every template
KINDS = {family.singular: name for name, family in registry.FAMILIES.items()}


def write(kind: str, name: str, folder: str | Path = ".") -> Path:
    """Write a plugin from its template.

    Parameters
    ----------
    kind : str
        Kind of class: ``"objective"``, ``"dataset"``, ``"noise"``, ``"energy"``, ``"metric"`` or
        ``"sampler"``.
    name : str
        Registered name; the file is ``NAME.py``.
    folder : path
        Folder of the file.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    InputError
        If the kind is unknown, the name is not valid or taken, or the file exists.
    """
    if kind not in KINDS:
        raise unknown("kind of plugin", kind, KINDS)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or snake_case(class_name) != name:
        raise InputError(
            f"'{name}' is not a valid name for a plugin: use words in lower case joined by _, "
            "such as my_method"
        )
    if name in registry.names(KINDS[kind]):
        raise InputError(f"{kind} '{name}' exists already; choose another name")
    path = Path(folder, f"{name}.py")
    text = (_FOLDER / f"{kind}.py").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(re.sub(rf"\b{_CLASS}\b", class_name, text))
    except FileExistsError:
        raise InputError(f"{path}: exists already and is not overwritten") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return path
