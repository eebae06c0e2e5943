"""Parts of suites, and the head that every kind of suite has.

Nothing here imports torch.
"""

from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.entries import refuse_switch
from ebm_bench.suites import names
from ebm_bench.utils import yaml_files

# Kinds of suites, with the command that runs each.
KINDS = {
    "leaderboard": "snakemake --config suite={path}",
    "stress": "ebm-bench stress --suite {path}",
    "estimation": "ebm-bench estimate --suite {path}",
    "paper": "ebm-bench paper --suite {path}",
}


class Strict(BaseModel):
    """Part of a file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    _refuse_switch = field_validator("*", mode="wrap")(refuse_switch)


class Named(Strict):
    """A registered name with its settings: ``{name: mlp, settings: {width: 64}}``."""

    name: str
    settings: dict[str, Any] = {}


class Head(Strict):
    """Head of a suite.

    Attributes
    ----------
    kind : str
        What the suite is: a key of `KINDS`.
    name : str
        Name of the results folder.
    version : int
        Raised whenever results change; results of different versions never mix.
    title : str
        One line for the head of the report.
    seed : int
        Seed from which every random stream of the suite is derived.
    """

    kind: str = "leaderboard"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    version: Annotated[int, Ge(1)]
    title: str = ""
    seed: Annotated[int, Ge(0)] = 0
    # Folder of the file, from which relative paths start. Without a file: the working folder.
    _folder: Path = Path()

    def __eq__(self, other: object) -> bool:
        """Compare contents, wherever the files are."""
        return isinstance(other, type(self)) and self.__dict__ == other.__dict__

    def at(self, folder: Path) -> Self:
        """Let relative paths start from a folder; returns the suite itself."""
        self._folder = folder
        return self

    def data(self, name: str, settings: dict[str, Any]) -> Named:
        """Describe a dataset, with the paths in its settings made absolute."""
        entry = registry.describe("datasets", name)
        return Named(name=name, settings=entry.located(settings, self._folder))

    @model_validator(mode="after")
    def _check_folder(self) -> "Head":
        if found := names.fault_of_suite(self.name, self.kind):
            raise ValueError(f"name: {found}")
        return self


AnyHead = TypeVar("AnyHead", bound=Head)


def kind_of(content: Any, path: str | Path) -> str:
    """Read the kind of a suite from the content of its file.

    Raises
    ------
    InputError
        Names the file and the valid kinds.
    """
    kind = content.get("kind", "leaderboard") if isinstance(content, dict) else "leaderboard"
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{path}: kind: {unknown('kind of suite', str(kind), KINDS)}")
    return kind


def read(path: str | Path, kind: str) -> Any:
    """Read the file of a suite of one kind; its content is not checked further.

    Raises
    ------
    InputError
        Names the file, its kind and the command for it.
    """
    content = yaml_files.read(path)
    found = kind_of(content, path)
    if isinstance(content, dict) and found != kind:
        raise InputError(
            f"{path}: a suite of kind '{found}', and not of kind '{kind}'; "
            f"it is run by `{KINDS[found].format(path=path)}`"
        )
    return content


def load(model: type[AnyHead], kind: str, path: str | Path) -> AnyHead:
    """Read and check a suite of one kind.

    Parameters
    ----------
    model : type of Head
        Model of this kind of suite.
    kind : str
        The kind.
    path : str or Path
        The YAML file.

    Raises
    ------
    InputError
        One line for each problem: file, key, what is wrong and what is valid.
    """
    found: AnyHead = yaml_files.validate(model, read(path, kind), str(path))
    return found.at(Path(path).parent)
