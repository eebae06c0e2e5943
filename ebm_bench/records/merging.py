"""Merging of records from several people or machines."""

import itertools
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from ebm_bench.errors import InputError
from ebm_bench.records import Run, collection, definition
from ebm_bench.records.collection import COLUMNS, KEY, TABLES, Tables
from ebm_bench.utils.files import replacing

TOLERANCE = 1e-2  # relative; rounding moves single samples, which changes metrics by as much
PICTURES = "pictures.npz"
_NUMBERS = {
    "values": "replicate {replicate}, {metric} of {model}",
    "curves": "replicate {replicate}, {metric} at step {step}",
}

Key = tuple[str, str, str]  # suite, dataset, method


@dataclass(eq=False)
class Source:
    """Records of one folder.

    Attributes
    ----------
    folder : Path
        Folder of the tables.
    tables : Tables
        Content of the folder.
    runs : dict of Key to Run
        Runs in the tables.
    """

    folder: Path
    tables: Tables
    runs: dict[Key, Run] = field(init=False)

    def __post_init__(self):
        self.runs = self.tables.records()
        if len(self.runs) < len(self.tables.runs):
            raise InputError(f"{self.file('runs')}: contains a run twice")

    def file(self, table: str) -> str:
        """Path of a table."""
        return str(self.folder / f"{table}.parquet")

    def pictures(self, key: Key) -> Path:
        """Path of the pictures of a run, which need not exist."""
        return self.folder.parent.joinpath("runs", *key[1:], PICTURES)


@dataclass(frozen=True, eq=False)
class Merged:
    """Merged records.

    Attributes
    ----------
    tables : Tables
        Tables of all runs, each once.
    taken : dict of Key to Source
        Source of each run.
    repeated : int
        Number of runs that occurred more than once, and agreed.
    folders : list of Path
        Folders of the merged records.
    """

    tables: Tables
    taken: dict[Key, Source]
    repeated: int
    folders: list[Path]

    def refuse_loss(self, out: str | Path) -> None:
        """Raise an `InputError` if a results folder has records that are not among the sources."""
        records = Path(out, "records")
        if (records / "runs.parquet").exists() and records.resolve() not in self.folders:
            raise InputError(
                f"{records}: holds records that are not merged and would be lost. Add {out} "
                "to the sources, or choose another folder with --out"
            )

    def write(self, out: str | Path) -> None:
        """Write the records and copy existing pictures to a results folder.

        The suite and its plugins are written too if they are the same in all sources; else there
        is no suite with them.
        """
        records = Path(out, "records")
        described = self._described[0] if self._agree else {}
        for name, content in described.items():
            with replacing(records / name) as temporary:
                temporary.write_bytes(content)
        if definition.SUITE not in described:
            (records / definition.SUITE).unlink(missing_ok=True)
        for key, source in self.taken.items():
            found, copy = source.pictures(key), Path(out).joinpath("runs", *key[1:], PICTURES)
            if found.exists() and found.resolve() != copy.resolve():
                with replacing(copy) as temporary:
                    shutil.copyfile(found, temporary)
        self.tables.write(records)

    def summary(self, out: str | Path) -> str:
        """Report the number of runs, their hardware, and code and suites that are not the same."""
        runs = [source.runs[key] for key, source in self.taken.items()]
        counts = Counter(run.hardware for run in runs)
        code = Counter(f"commit {run.provenance.commit}" for run in runs)
        return "\n".join(
            [
                f"{len(runs)} runs are in {Path(out, 'records')}; {self.repeated} occurred "
                "more than once and agree",
                *(f"  timed on {name}: {n} runs" for name, n in counts.most_common()),
                *(f"  code of {name}: {n} runs" for name, n in code.most_common() if len(code) > 1),
                *([] if self._agree else ["  no suite with them: suites or plugins differ"]),
            ]
        )

    @cached_property
    def _described(self) -> list[dict[str, bytes]]:
        """Suites with their plugins, as they lie beside the records of the sources."""
        return [collection.kept_suite(folder) for folder in self.folders]

    @cached_property
    def _agree(self) -> bool:
        first, *others = self._described
        return all(one == first for one in others)


def merge(paths: Iterable[str | Path], tolerance: float = TOLERANCE) -> Merged:
    """Merge records that agree.

    If a run occurs several times, its most complete record is kept with its cost and provenance.

    Parameters
    ----------
    paths : iterable of path
        Results folders, record folders, or tables in such folders.
    tolerance : float
        Largest relative difference of equal values.

    Raises
    ------
    InputError
        If records belong to several suites or to several versions of a suite, dataset or metric;
        if the suites beside them make or measure the data of a dataset otherwise; if settings,
        values or statuses of the same replicate differ; if neither of two records of a run contains
        the other. Names files, keys and values.
    """
    folders = dict.fromkeys(_records_of(Path(path)).resolve() for path in paths)
    if not folders:
        raise InputError("no sources: give results folders, record folders or their tables")
    sources = [Source(folder, collection.load(folder)) for folder in folders]
    _refuse_mixed(sources)
    taken: dict[Key, Source] = {}
    problems: list[str] = []
    repeated = 0
    for source in sources:
        for key in source.runs:
            if key not in taken:
                taken[key] = source
                continue
            repeated += 1
            found, fuller = _compare(key, taken[key], source, tolerance)
            problems += found
            taken[key] = fuller
    if problems:
        more = len(problems) - definition.SHOWN
        listed = [*problems[: definition.SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise InputError("records disagree; nothing was merged\n" + "\n".join(listed))
    return Merged(_unite(sources, taken), taken, repeated, list(folders))


def _records_of(path: Path) -> Path:
    """Find the folder of records that a path refers to."""
    tables = [f"{name}.parquet" for name in TABLES]
    if path.is_file() and path.name in tables:
        return path.parent
    for folder in (path / "records", path):
        if any((folder / table).exists() for table in tables):
            return folder
    raise InputError(
        f"{path}: not a results folder, a folder of records or one of its tables "
        f"({', '.join(tables)}). `ebm-bench collect` writes them"
    )


def _refuse_mixed(sources: list[Source]) -> None:
    """Refuse records that differ in facts that they must share."""
    runs, values = (
        pd.concat([getattr(s.tables, name).assign(file=s.file(name)) for s in sources])
        for name in ("runs", "values")
    )
    suites = runs.groupby("suite", sort=False)["file"].first()
    if len(suites) > 1:
        listed = ", ".join(f"{name} in {file}" for name, file in suites.items())
        raise InputError(f"records mix suites: {listed}; nothing was merged")
    collection.refuse_mixed(runs, values, "file")
    described = {source.folder: definition.of_data(source.folder) for source in sources}
    for (one, ours), (other, theirs) in itertools.combinations(described.items(), 2):
        if different := definition.apart(ours, theirs):
            raise InputError(
                f"suites in {one} and {other} make or measure data otherwise: "
                f"{'; '.join(different[: definition.SHOWN])}; nothing was merged"
            )
    # Only the learning rate may differ between methods.
    shared = [
        json.dumps({**run.budget, "learning_rate": None, "seed": run.seed}, sort_keys=True)
        for source in sources
        for run in source.runs.values()
    ]
    collection.refuse_different(runs.assign(dataset_budget=shared), "dataset", "budget", "file")


def _compare(key: Key, one: Source, other: Source, tolerance: float) -> tuple[list[str], Source]:
    """List disagreements of two records of a run, and choose the more complete one."""

    def disagreement(table: str, what: str, first: object, second: object) -> str:
        files = one.file(table), other.file(table)
        return f"{' '.join(key)}, {what}: {first} in {files[0]}, {second} in {files[1]}"

    first, second = one.runs[key], other.runs[key]
    normal = definition.of_run(first), definition.of_run(second)
    problems = [
        disagreement("runs", field, getattr(first, field), getattr(second, field))
        for field in definition.FACTS
        if normal[0][field] != normal[1][field]
    ]
    if problems:
        return problems, one
    mine, others = _results(one, key), _results(other, key)
    problems = [
        disagreement(*at, mine[at], others[at])
        for at in mine.keys() & others.keys()
        if not agree(mine[at], others[at], tolerance)
    ]
    if others.keys() <= mine.keys() or problems:
        return sorted(problems), one
    if mine.keys() <= others.keys():
        return [], other
    only = [min(keys)[1] for keys in (mine.keys() - others.keys(), others.keys() - mine.keys())]
    return [disagreement("values", "neither has all of the other", *only)], one


def agree(one: float | str, other: float | str, tolerance: float) -> bool:
    """Compare two values: floats with a relative tolerance, others exactly; NaN equals NaN."""
    if not isinstance(one, float) or not isinstance(other, float):
        return one == other
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * 1e-3)


def _results(source: Source, key: Key) -> dict[tuple[str, str], float | str]:
    """Read the statuses, values and curve of a run, by table and name."""
    found: dict[tuple[str, str], float | str] = {
        ("runs", f"replicate {o.replicate}"): o.status for o in source.runs[key].outcomes
    }
    for table, name in _NUMBERS.items():
        rows: pd.DataFrame = getattr(source.tables, table)
        own = rows[(rows[KEY] == list(key)).all(axis=1)].to_dict("records")
        numbers = {(table, name.format_map(row)): row["value"] for row in own}
        if len(numbers) < len(own):
            raise InputError(f"{source.file(table)}: {' '.join(key)} has rows twice")
        found |= numbers
        if "status" in rows:  # a model that has escaped is known by its values alone
            found |= {(table, f"status, {name.format_map(row)}"): row["status"] for row in own}
    return found


def _unite(sources: list[Source], taken: dict[Key, Source]) -> Tables:
    """Join the tables, taking the rows of each run from its source."""
    united = {}
    for name in TABLES:
        parts = []
        for source in sources:
            table: pd.DataFrame = getattr(source.tables, name)
            keys = table[KEY].itertuples(index=False, name=None)
            parts.append(table.loc[[taken.get(key) is source for key in keys], COLUMNS[name]])
        full = [part for part in parts if len(part)]
        united[name] = pd.concat(full, ignore_index=True) if full else parts[0]
    return Tables(**united)
