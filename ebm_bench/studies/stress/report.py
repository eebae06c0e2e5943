"""The report on stress tests: summaries, tables and figures."""

from functools import partial
from pathlib import Path

import pandas as pd

from ebm_bench.errors import InputError
from ebm_bench.report.columns import Column, Estimate, Table
from ebm_bench.report.formatting import quantity
from ebm_bench.report.results import estimates
from ebm_bench.report.rows import label
from ebm_bench.report.statistics.intervals import INTERVAL
from ebm_bench.report.tables import formats
from ebm_bench.studies.stress import figures
from ebm_bench.studies.stress.suite import VALUES, Stress
from ebm_bench.utils.files import read_table


def build(stress: Stress, results: str | Path, venue: str | None = None) -> list[Path]:
    """Draw the figure and write the tables.

    Parameters
    ----------
    stress : Stress
        What was to be run.
    results : path
        Folder with a folder ``panels``, as `ebm_bench.studies.stress.suite.run` left them.
    venue : str, optional
        Draw the figures for a paper instead, one of all panels and one of each, in the folder
        ``paper``.

    Returns
    -------
    list of Path
        What was written, which without a venue is what `stress_outputs` announces.

    Raises
    ------
    InputError
        Where a panel has not been run, or with other settings than it has, or cannot be read.
    """
    found = {name: summary(stress, name, Path(results, "panels")) for name in stress.panels}
    written = figures.write(stress, found, Path(results), venue)
    tables = {name: _table(stress, name, one) for name, one in found.items()}
    panels = [f"## {name}\n\n{formats.markdown(table)}" for name, table in tables.items()]
    texts = {
        "md": f"# {stress.title}\n\n" + "\n".join(panels),
        "tex": "\n".join(map(formats.latex, tables.values())),
        "csv": pd.concat(found.values(), ignore_index=True).to_csv(index=False),
    }
    return [*written, *formats.write(texts, Path(results), "stress")]


def summary(stress: Stress, panel: str, folder: Path) -> pd.DataFrame:
    """Summarise the measure of a panel over replicates.

    Returns
    -------
    DataFrame
        One row for each knob, method and model: those columns, ``panel`` and ``metric``, and
        the fields of `Estimate`.
    """
    path = folder / panel / VALUES
    values = read_table(path, "run the panel, `ebm-bench stress`")
    # Tables of earlier versions do not state it.
    if "settings" in values and set(values["settings"]) != {stress.settings(panel)}:
        raise InputError(
            f"{path}: of other settings than panel {panel} of {stress.name} has now; run it again, "
            "`ebm-bench stress`"
        )
    return pd.DataFrame(
        {"panel": panel, "knob": knob, "method": method, "model": model, "metric": metric}
        | found.numbers()
        for knob, at in values.groupby("knob")
        for (_, method, model, metric), found in estimates(at).items()
        if metric == stress.panels[panel].metric
    )


def _table(stress: Stress, name: str, rows: pd.DataFrame) -> Table:
    """Make the table of a panel: a row for each model, a column for each value of its knob."""
    panel = stress.panels[name]
    bound = quantity(panel.metric).lower_bound

    def at(row: list[dict], knob: float) -> Estimate:
        found = next((one for one in row if one["knob"] == knob), {})
        fields = {key: x for key, x in found.items() if key in Estimate.__dataclass_fields__}
        return Estimate(**fields, lower_bound=bound)

    def n(row: list[dict]) -> str:
        counts = {one["n"] for one in row}
        return "–".join(map(str, sorted({min(counts), max(counts)})))

    columns = [
        Column("method", "Method", lambda row: label(row[0]["method"], row[0]["model"])),
        *(Column(str(x), f"{x:g}", partial(at, knob=x)) for x in panel.knob.values),
        Column("n", "n", n),
        Column("failed", "Failed", lambda row: sum(one["failed"] for one in row)),
    ]
    models = rows.groupby(["method", "model"], sort=False)
    return Table(
        columns,
        [own.to_dict("records") for _, own in models],
        _caption(stress, name),
        f"tab:stress-{name}",
    )


def _caption(stress: Stress, name: str) -> str:
    panel = stress.panels[name]
    return (
        f"{panel.title}: {quantity(panel.metric).axis}, against {panel.knob.label}. "
        f"{INTERVAL[0].upper()}{INTERVAL[1:]}; n: replicates with a finite "
        f"value at each column; Failed: of all columns together. Suite {stress.name}, version "
        f"{stress.version}."
    )
