"""Conversion between the records of runs and three tidy tables.

``runs`` has one row per run, with its whole record except the curve. ``values`` and ``curves``
repeat the columns to group by. ``values`` also has the outcome of the replicate, which is
``escaped`` for a model with too much mass far from the data, and the cost of the run. Join on
``dataset`` and ``method`` for the rest.
"""

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ValidationError

from ebm_bench.errors import InputError
from ebm_bench.records import (
    ESCAPED_ABOVE,
    Cost,
    CurvePoint,
    Evaluation,
    Outcome,
    Provenance,
    Run,
    Value,
    definition,
    fingerprint,
    read,
)
from ebm_bench.records.definition import SUITE
from ebm_bench.suites.suite import Suite
from ebm_bench.utils import yaml_files
from ebm_bench.utils.files import read_table, replacing

log = logging.getLogger("ebm_bench")

TABLES = ("runs", "values", "curves")
KEY = ["suite", "dataset", "method"]  # of a run
ABOUT = ["suite", "suite_version", "dataset", "dataset_version", "method", "objective", "control"]
# What was measured of which model, among the columns of values.
MEASURED = [
    "dataset",
    "method",
    "model",
    "metric",
    "replicate",
    "status",
    "value",
    "standard_error",
]
_FLAT: dict[str, type[BaseModel]] = {
    "cost": Cost,
    "provenance": Provenance,
}  # a column for each of their fields
_NESTED = ("settings", "energy", "budget", "outcomes", "unsaved", "segments")  # JSON
_PLAIN = [name for name in Run.model_fields if name not in (*_NESTED, *_FLAT, "curve")]
COLUMNS = {
    "runs": [*_PLAIN, *_NESTED, *Cost.model_fields, *Provenance.model_fields],
    "values": list(
        dict.fromkeys([*ABOUT, *Outcome.model_fields, *Value.model_fields, *Cost.model_fields])
    ),
    "curves": [*ABOUT, *CurvePoint.model_fields],
}
# Columns that tables of older versions lack, with the value that stands for them.
_DEFAULTS = {
    name: json.dumps(field.default) if name in _NESTED else field.default
    for record in (Run, Cost, Value)
    for name, field in record.model_fields.items()
    if not field.is_required()
}
_NUMBERS = dict.fromkeys(["value", "standard_error", "outside"], float)


@dataclass(frozen=True, eq=False)
class Tables:
    """Collected records.

    Attributes
    ----------
    runs : DataFrame
        One row per run. Lists and dicts, such as ``settings``, are JSON.
    values : DataFrame
        One row per metric, model and replicate.
    curves : DataFrame
        One row per point of a learning curve.
    folder : Path
        Folder that they were read from.
    """

    runs: pd.DataFrame
    values: pd.DataFrame
    curves: pd.DataFrame
    folder: Path = Path()

    def records(self) -> dict[tuple[str, str, str], Run]:
        """Rebuild the records of the runs.

        Returns
        -------
        dict of (suite, dataset, method) to Run

        Raises
        ------
        InputError
            If a row is not a record.
        """
        curves = {
            key: own[list(CurvePoint.model_fields)].to_dict("records")
            for key, own in self.curves.groupby(KEY, sort=False)
        }
        rows = self.runs.to_dict("records")
        keys = [tuple(row[name] for name in KEY) for row in rows]
        file = self.folder / "runs.parquet"
        return {
            key: _run(row, curves.get(key, []), file) for key, row in zip(keys, rows, strict=True)
        }

    def write(self, folder: str | Path) -> None:
        """Write the tables as Parquet and CSV.

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        for name in TABLES:
            table = getattr(self, name)
            with replacing(Path(folder, f"{name}.parquet")) as temporary:
                table.to_parquet(temporary)
            with replacing(Path(folder, f"{name}.csv")) as temporary:
                table.to_csv(temporary, index=False)


def load(folder: str | Path) -> Tables:
    """Read the tables that `Tables.write` wrote.

    Raises
    ------
    InputError
        Names the file that is missing or not valid.
    """
    tables = {}
    for name in TABLES:
        path = Path(folder, f"{name}.parquet")
        table = read_table(path, "`ebm-bench collect` writes it")
        lacking = [column for column in COLUMNS[name] if column not in table]
        tables[name] = table.assign(**{c: _DEFAULTS[c] for c in lacking if c in _DEFAULTS})
        missing = [column for column in lacking if column not in _DEFAULTS]
        if missing:
            raise InputError(
                f"{path}: has no column {', '.join(missing)}; collect the records again"
            )
    try:
        tables["values"] = tables["values"].astype({**_NUMBERS, "replicate": int})
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{Path(folder, 'values.parquet')}: a value is no number ({error}); collect the "
            "records again"
        ) from None
    return Tables(**tables, folder=Path(folder))


def stale(suite: Suite, dataset: str, method: str, folder: Path) -> dict[str, str]:
    """Describe why the files of a run are not those that the suite and the code lead to now.

    Returns
    -------
    dict of str to str
        Reason by file, of ``run.json`` and ``evaluation.json``; what is missing has none.
    """
    found = {}
    if (folder / "run.json").exists():
        run: Run = read(Run, folder / "run.json")
        if run.fingerprint != fingerprint.of_training(suite, dataset, method):
            reasons = definition.differences(suite, run, definition.TRAINING)
            found["run.json"] = "; ".join(reasons or ["trained by other code, on other data"])
    if (folder / "evaluation.json").exists():
        evaluation: Evaluation = read(Evaluation, folder / "evaluation.json")
        if evaluation.digest != fingerprint.of_evaluation(suite, dataset, method):
            found["evaluation.json"] = "evaluated with other settings or by other code"
    return found


def collect(
    folders: Iterable[str | Path],
    unmeasured: Collection[str | Path] = (),
    suite: Suite | None = None,
) -> Tables:
    """Collect the records of runs into tidy tables.

    Parameters
    ----------
    folders : iterable of path
        Folders of runs, with ``run.json`` and, after evaluation, ``evaluation.json``.
    unmeasured : collection of path
        Those of the folders whose evaluation is left out.
    suite : Suite, optional
        States which methods are controls, as it may have changed since they were trained: only
        the models of others can have escaped.

    Raises
    ------
    InputError
        If versions of the suite, a dataset or a metric differ between records.
    """
    # A list for each column: of a table of a million rows, a dict for each would fill the memory.
    columns: dict[str, dict[str, list[Any]]] = {
        name: {column: [] for column in COLUMNS[name]} for name in TABLES
    }
    left_out = set(map(Path, unmeasured))
    for folder in map(Path, folders):
        run: Run = read(Run, folder / "run.json")
        if suite:
            run = run.model_copy(update={"control": suite.methods[run.method].control})
        about = run.model_dump(include=set(ABOUT))
        outcomes = {o.replicate: o.model_dump() for o in run.outcomes}
        cost = run.cost.model_dump()
        _add(columns["runs"], _row(run))
        for point in run.curve:
            _add(columns["curves"], {**about, **point.model_dump()})
        for v in _measured(run, folder / "evaluation.json") if folder not in left_out else ():
            outcome = outcomes[v.replicate]
            _add(
                columns["values"],
                {**about, **outcome, **v.model_dump(), **cost, **escape(run, v)},
            )
    runs, values, curves = (pd.DataFrame(columns[name]) for name in TABLES)
    # A column without numbers would have the type object.
    tables = Tables(runs, values.astype(_NUMBERS), curves)
    refuse_mixed(tables.runs, tables.values)
    return tables


def keep_suite(chosen: Suite, path: str | Path, folder: str | Path) -> None:
    """Write a suite, with its tuned values, and its plugins next to its records.

    Parameters
    ----------
    chosen : Suite
        The suite, as loaded.
    path : path
        File of the suite; plugins are copied from its folder.
    folder : path
        Folder of the records.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    plugins = {Path(name).name: Path(path).parent / name for name in chosen.plugins}
    for name, plugin in plugins.items():
        with replacing(Path(folder, name)) as temporary:
            temporary.write_bytes(plugin.read_bytes())
    content = {**chosen.model_dump(mode="json"), "plugins": list(plugins)}
    with replacing(Path(folder, SUITE)) as temporary:
        temporary.write_text(
            yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def kept_suite(folder: Path) -> dict[str, bytes]:
    """Read the files that `keep_suite` wrote, by name; empty if there are none."""
    path = Path(folder, SUITE)
    if not path.exists():
        return {}
    files = [path, *(path.with_name(Path(name).name) for name in plugins_of(path))]
    return {file.name: file.read_bytes() for file in files if file.exists()}


def plugins_of(path: Path) -> list[str]:
    """Read the names of the plugins of a suite beside records, which need not be valid otherwise.

    Raises
    ------
    InputError
        If it cannot be read as far as that.
    """
    content: Any = yaml_files.read(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no suite; `ebm-bench collect` writes the file")
    plugins = content.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        raise InputError(f"{path}: plugins: {plugins!r} is not a list of files")
    return plugins


def refuse_mixed(runs: pd.DataFrame, values: pd.DataFrame, place: str = "method") -> None:
    """Refuse tables with several versions of a suite, dataset or metric.

    Several versions of torch, whose results may differ slightly, are only reported: otherwise
    each upgrade would make all runs obsolete.

    Parameters
    ----------
    runs, values : DataFrame
        Tables as in `Tables`.
    place : str
        Column that shows where a version was found.

    Raises
    ------
    InputError
        Names the versions and the places of each.
    """
    refuse_different(runs, "suite", "version", place)
    refuse_different(runs, "dataset", "version", place)
    refuse_different(values, "metric", "version", place)
    minor = runs["torch"].astype(str).str.extract(r"^(\d+\.\d+)", expand=False)
    found = runs.groupby(minor.fillna(runs["torch"]))[place].unique()
    if len(found) > 1:
        listed = "; ".join(f"{version}: {', '.join(places)}" for version, places in found.items())
        log.warning(
            "runs were trained with several versions of torch, and differences between methods may "
            "come from these (%s). Remove the older runs to train them again",
            listed,
        )


def refuse_different(table: pd.DataFrame, key: str, fact: str, place: str) -> None:
    """Raise an `InputError` if rows of the same suite, dataset or metric differ in a fact."""
    for name, own in table.groupby(key):
        found = own.groupby(f"{key}_{fact}")[place].unique()
        if len(found) > 1:
            listed = "; ".join(f"{fact} {value}: {', '.join(p)}" for value, p in found.items())
            raise InputError(
                f"records mix {fact}s of {key} '{name}' ({listed}). "
                "Run the older ones again, or report them separately"
            )


def _add(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    """Add a row to the columns of a table."""
    for name, values in columns.items():
        values.append(row[name])


def _row(run: Run) -> dict[str, Any]:
    """Convert a run to a row."""
    content = run.model_dump(exclude={"curve"})
    return {
        **{name: content[name] for name in _PLAIN},
        **{name: json.dumps(content[name], sort_keys=True) for name in _NESTED},
        **{field: value for part in _FLAT for field, value in content[part].items()},
    }


def _run(row: dict[str, Any], curve: list[dict[str, Any]], file: Path) -> Run:
    """Convert a row and the points of a curve to a run."""
    try:
        content = {
            **{name: row[name] for name in _PLAIN},
            **{name: json.loads(row[name]) for name in _NESTED},
            **{part: {n: row[n] for n in kind.model_fields} for part, kind in _FLAT.items()},
        }
        return Run.model_validate({**content, "curve": curve})
    except (ValidationError, ValueError, TypeError) as error:
        name = " ".join(str(row[part]) for part in KEY)
        raise InputError(f"{file}: {name}: not a Run record: {error}") from None


def escape(run: Run, value: Value) -> dict[str, str]:
    """Give the status of a model that has escaped; empty for others, and for controls."""
    far = not run.control and value.outside is not None and value.outside > ESCAPED_ABOVE
    return {"status": "escaped"} if far else {}


def _measured(run: Run, path: Path) -> list[Value]:
    """Read the evaluation of a run, unless it belongs to an older run."""
    if not path.exists():
        return []
    evaluation: Evaluation = read(Evaluation, path)
    return evaluation.values if evaluation.fingerprint == run.fingerprint else []
