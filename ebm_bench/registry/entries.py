"""Typed descriptions of registered classes, one for each family.

Each declares types and valid values only. Defaults are stated once, in the ``base.py`` of a family,
from whose syntax tree they are read.
"""

import itertools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import pydantic
from annotated_types import MinLen
from pydantic import StrictBool, StrictInt
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from ebm_bench.errors import InputError, shortened, unknown

# What a dataset can offer beyond samples.
Knowledge = Literal[
    "log_prob", "score", "smoothed_score", "entropy", "grid", "modes", "parameters", "pixels"
]
Kind = Literal["toy", "image"]
# What a trained model has by some objectives only: an estimate of log Z, and energies E(x, t).
Learned = Literal["learned_log_z", "levels"]
LEARNED: tuple[str, ...] = get_args(Learned)


def refuse_switch(given: Any, handler: Any) -> Any:
    """Validate a field; yes, on and true are not the number 1, as which pydantic takes them."""
    valid = handler(given)
    if _is_switched(given, valid):
        raise PydanticCustomError("switch", "Input should be a number, not yes, no, true or false")
    return valid


def _is_switched(given: Any, valid: Any) -> bool:
    """Whether a switch was given for a number, at any depth."""
    match given, valid:
        case bool(), int() | float():
            return not isinstance(valid, bool)
        case dict(), dict():
            return any(map(_is_switched, given.values(), valid.values()))
        case list() | tuple(), list() | tuple():
            return any(map(_is_switched, given, valid))
    return False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the source states of one registered class.

    Attributes
    ----------
    family, name : str
        Family of the class and its registered name.
    path : pathlib.Path
        File that defines it.
    class_name, docstring : str
        Name of the class and its numpydoc docstring.
    settings : dict
        Annotation and default of each setting; the default is ``...`` where there is none.
    module : str, optional
        Module to import it from. None for a plugin that is a file.
    files : tuple of str
        Settings that hold paths of files or folders; results depend on their content.
    """

    family: str
    name: str
    path: Path
    class_name: str
    docstring: str
    settings: dict[str, tuple[Any, Any]]
    module: str | None = None
    files: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.docstring.split("\n")[0]

    @property
    def packaged(self) -> bool:
        """Whether the class is one of the package, and of no plugin."""
        return (self.module or "").startswith("ebm_bench.")

    @property
    def sections(self) -> dict[str, str]:
        """Sections of the docstring by title; the text before them under an empty title."""
        prose, *rest = re.split(r"^(\w[\w ]*)\n-{3,}\n", self.docstring, flags=re.M)
        titled = zip(rest[::2], map(str.strip, rest[1::2]), strict=True)
        return {"": prose.strip(), **dict(titled)}

    @cached_property
    def model(self) -> type[pydantic.BaseModel]:
        """Pydantic model that validates the settings."""
        # Under names of their own, as pydantic has attributes that settings may be called like.
        fields: dict[str, Any] = {
            f"setting{i}": (kind, pydantic.Field(alias=name))
            for i, (name, (kind, _)) in enumerate(self.settings.items())
        }
        checks: dict[str, Any] = {
            "switch": pydantic.field_validator("*", mode="wrap")(refuse_switch)
        }
        config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
        return pydantic.create_model(
            self.class_name, __config__=config, __validators__=checks, **fields
        )

    def validate(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Check settings and fill in the defaults.

        Raises
        ------
        InputError
            Names the setting, its value and what is valid.
        """
        for key in settings:
            if key not in self.settings:
                if not self.settings:
                    raise InputError(f"unknown setting of {self.name} '{key}': it has no settings")
                raise unknown(f"setting of {self.name}", key, self.settings)
        try:
            defaults = {k: value for k, (_, value) in self.settings.items() if value is not ...}
            valid = self.model.model_validate(defaults | _plain(settings))
            return valid.model_dump(by_alias=True)
        except pydantic.ValidationError as error:
            problems = (
                f"{self.name}.{'.'.join(map(str, e['loc']))} = "
                f"{shortened(repr(e['input']))}: {e['msg']}"
                for e in error.errors()
            )
            raise InputError("; ".join(problems)) from None

    def normalise(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Check settings and write them as their annotations do, without the defaults.

        Equal settings become identical: ``"2e-1"`` and ``0.2``, ``1`` and ``1.0`` for a float,
        a tuple and a list. The result is what JSON can hold.

        Raises
        ------
        InputError
            As in `validate`.
        """
        valid = self.validate(settings)
        found = {name: _plain(valid[name]) for name in settings}
        for name, value in found.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{self.name}.{name} = {shortened(repr(value))}: cannot be recorded ({error}). "
                    "Valid: texts, finite numbers, switches, and lists and maps of them"
                ) from None
        return found

    def located(self, settings: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
        """Make paths absolute: those that are relative start from a folder.

        Parameters
        ----------
        settings : mapping
            Settings, of which those in ``files`` hold a path, a list of paths or None.
        folder : path
            Folder of the suite's file.

        Raises
        ------
        InputError
            As for `validate`, which fills in the defaults.
        """
        given = self.validate(settings)

        def locate(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return [locate(each) for each in value]
            if not isinstance(value, str):
                return value
            return os.path.abspath(Path(folder, os.path.expanduser(value)))

        return {**given, **{name: locate(given[name]) for name in self.files}}

    def paths(self, settings: Mapping[str, Any]) -> list[Path]:
        """List the paths that settings hold."""
        values = [self.validate(settings)[name] for name in self.files]
        flat = [v for each in values for v in (each if isinstance(each, list | tuple) else [each])]
        return [Path(value) for value in flat if value is not None]

    def portable(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Shorten paths to what tells them apart, wherever their folder is.

        Data are known by content, and by the names of their files, which may tell classes apart.
        """
        paths = [_absolute(path) for name in self.files for path in _texts(settings.get(name))]
        folders = zip(*(path.parent.parts for path in paths), strict=False)
        shared = len([*itertools.takewhile(lambda each: len({*each}) == 1, folders)])

        def shorten(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return [shorten(each) for each in value]
            return "/".join(_absolute(value).parts[shared:]) if isinstance(value, str) else value

        return {k: shorten(v) if k in self.files else v for k, v in settings.items()}


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))


def _texts(value: Any) -> list[str]:
    """List the texts of a text, or of a list of them; none of anything else."""
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _plain(value: Any) -> Any:
    """Replace NumPy's and torch's scalars and arrays by Python's, and tuples by lists."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    return value.tolist() if hasattr(value, "tolist") else value


@dataclass(frozen=True, kw_only=True)
class DatasetEntry(Entry):
    """A dataset; attributes as in `ebm_bench.datasets.base.Dataset`."""

    version: StrictInt
    kind: Kind
    licence: str
    citation: str
    knows: tuple[Knowledge, ...]
    downloads: Literal["", "mnist", "cifar10", "fashion_mnist"]


@dataclass(frozen=True, kw_only=True)
class EnergyEntry(Entry):
    """An energy; attributes as in `ebm_bench.energies.base.Energy`.

    Attributes
    ----------
    smooth : bool
        False for a class that sets it so, whatever its settings.
    """

    smooth: StrictBool = True
    rough: dict[str, tuple[Any, ...]]
    rough_for: tuple[Kind, ...]
    normalised: StrictBool
    needs: tuple[Literal[Knowledge, Kind], ...]
    levels: StrictBool
    learns: StrictBool = False


@dataclass(frozen=True, kw_only=True)
class ObjectiveEntry(Entry):
    """A training objective; attributes as in `ebm_bench.objectives.base.Objective`.

    Attributes
    ----------
    noise : str, optional
        Noise that the definition fixes. Where the noise is a setting, see `settings`.
    """

    requires: tuple[Literal["smooth", "log_z", "levels", "grid"], ...]
    trains: StrictBool
    samples_model: StrictBool
    kind: str
    search: dict[str, Annotated[tuple[Any, ...], MinLen(1)]]
    noise: str | None = None


@dataclass(frozen=True, kw_only=True)
class MetricEntry(Entry):
    """A metric; attributes as in `ebm_bench.metrics.base.Metric`."""

    version: StrictInt
    requires: tuple[Literal[Knowledge, Learned], ...]
    higher_is_better: StrictBool | None
    lower_bound: StrictBool
    scale: Literal["linear", "log"]
    unit: str
    label: str


class Family(NamedTuple):
    """A family of classes.

    Attributes
    ----------
    singular : str
        What one of them is called. The base class has the same name.
    entry : type of Entry
        Its description.
    """

    singular: str
    entry: type[Entry]

    @property
    def base(self) -> str:
        """Name of the class in ``base.py`` that all of them derive from."""
        return self.singular.capitalize()

    @property
    def declared(self) -> set[str]:
        """Class attributes that describe a class."""
        own = {f.name for f in fields(self.entry)} - {f.name for f in fields(Entry)}
        return own | {"files"}


FAMILIES = {
    "datasets": Family("dataset", DatasetEntry),
    "energies": Family("energy", EnergyEntry),
    "noise": Family("noise", Entry),
    "objectives": Family("objective", ObjectiveEntry),
    "samplers": Family("sampler", Entry),
    "metrics": Family("metric", MetricEntry),
}
