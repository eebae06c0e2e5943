"""Names of suites, datasets and methods, which are those of folders, files and rows of tables.

Results move between file systems, of which some ignore case or reserve names.
"""

import re
from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator

LONGEST = 100  # letters: the name of a file has up to 255, with an ending
_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
Names = TypeVar("Names", bound=Iterable[str])
# Tables that are no dataset's: their files would be overwritten.
TABLES = ("overall", "macros")
# Folders of results besides those of leaderboards, with the kind of suite that may have the name.
FOLDERS = {
    "stress": "stress",
    "estimation": "estimation",
    "papers": "",
    "speed": "",
    "reference": "",
}


def fault(name: str) -> str:
    """Describe what is wrong with a name; empty if nothing is."""
    if not _SHAPE.fullmatch(name):
        return (
            f"the name {name!r} is not valid: letters a to z, digits, '.', '_' and '-', "
            "beginning with a letter or digit, as folders and files are called so"
        )
    if name.endswith("."):
        return f"the name '{name}' ends with a dot, which Windows drops from names of folders"
    if _WINDOWS.fullmatch(name):
        return f"the name '{name}' is reserved on Windows, where no folder may be called so"
    if len(name) > LONGEST:
        return f"the name '{name}' has {len(name)} letters; at most {LONGEST} are possible"
    return ""


def fault_of_suite(name: str, kind: str) -> str:
    """Describe what is wrong with the name of a suite of a kind; empty if nothing is."""
    if FOLDERS.get(name, kind) != kind:
        return f"the folder results/{name} is that of `snakemake {name}`; rename the suite"
    return fault(name)


def _check(name: str) -> str:
    if found := fault(name):
        raise ValueError(found)
    return name


def _check_dataset(name: str) -> str:
    if name in TABLES:
        raise ValueError(f"the files of a table are called '{name}'; rename the dataset's class")
    return _check(name)


def _check_distinct(names: Names) -> Names:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(
                f"'{other}' and '{name}' differ in case alone, and would share a folder on macOS "
                "and Windows; rename one"
            )
    return names


Name = Annotated[str, AfterValidator(_check)]
DatasetName = Annotated[str, AfterValidator(_check_dataset)]
Distinct = AfterValidator(_check_distinct)  # of a dictionary, by its keys
