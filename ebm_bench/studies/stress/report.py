"""The report on stress tests: summaries, tables and figures."""

from pathlib import Path

import numpy as np
import pandas as pd

from ebm_bench.errors import InputError
from ebm_bench.report.files import stress_outputs
from ebm_bench.report.results import CONVERGED, Estimate
from ebm_bench.report.statistics import replicates as statistics
from ebm_bench.report.tables import formats, tables
from ebm_bench.report.wording import MISSING, quantity
from ebm_bench.studies.stress import figures
from ebm_bench.studies.stress.run import VALUES
from ebm_bench.studies.stress.suite import Panel, Stress
from ebm_bench.utils.files import replacing


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
        Where a panel has not been run, or cannot be read.
    """
    found = {name: summary(stress, name, Path(results, "panels")) for name in stress.panels}
    written = figures.write(stress, found, Path(results), venue)
    tables = [path for path in stress_outputs(results) if path.parent.name == "tables"]
    texts = (_markdown(stress, found), _latex(stress, found), _numbers(found))
    for text, path in zip(texts, tables, strict=True):
        with replacing(path) as temporary:
            temporary.write_text(text)
    return [*written, *tables]


def summary(stress: Stress, panel: str, folder: Path) -> pd.DataFrame:
    """Summarise the measure of a panel over replicates.

    Returns
    -------
    DataFrame
        One row for each knob, method and model: those columns, ``panel`` and ``metric``, and
        the fields of `Estimate`.
    """
    path = folder / panel / VALUES
    if not path.exists():
        raise InputError(f"{path}: is not there; run the panel first, `ebm-bench stress`")
    try:
        values = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run the panel again") from None
    measure = stress.panels[panel].metric
    rows = []
    for knob, at in values.groupby("knob"):
        found = statistics.summarise(at).set_index(["method", "model", "metric"])
        for (method, model, metric), row in found.iterrows():
            if metric == measure:
                told = (method, model, f"{metric}.{CONVERGED}")
                converged = found["mean"].get(told, np.nan)
                rows.append(
                    {"panel": panel, "knob": knob, "method": method, "model": model,
                     "metric": metric, **row.drop("dataset"), "converged": converged}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _table(panel: Panel, rows: pd.DataFrame) -> pd.DataFrame:
    """Lay a panel out: a row for each model, a column for each value of its knob."""
    laid = []
    for (method, model), own in rows.groupby(["method", "model"], sort=False):
        cells = {"Method": method if model == "energy" else f"{method} ({model})"}
        estimates = {row["knob"]: _estimate(row) for row in own.to_dict("records")}
        for value in panel.knob.values:
            found = estimates.get(value, Estimate())
            note = tables.notes(found)
            text = tables.value(found, panel.metric) + (f" ({note})" if note else "")
            cells[f"{value:g}"] = text
        counts = sorted({str(found.n) for found in estimates.values()}, key=int)
        cells["n"] = "–".join(dict.fromkeys((counts[0], counts[-1]))) if counts else MISSING
        cells["Failed"] = str(sum(found.failed for found in estimates.values()))
        laid.append(cells)
    return pd.DataFrame(laid)


def _estimate(row: dict) -> Estimate:
    return Estimate(**{field: row[field] for field in Estimate.__dataclass_fields__})


def _caption(stress: Stress, name: str) -> str:
    panel = stress.panels[name]
    return (
        f"{panel.title}: {quantity(panel.metric).axis}, against {panel.knob.label}. "
        f"{statistics.INTERVAL[0].upper()}{statistics.INTERVAL[1:]}; n: replicates with a finite "
        f"value at each column; Failed: of all columns together. Suite {stress.name}, version "
        f"{stress.version}."
    )


def _markdown(stress: Stress, found: dict[str, pd.DataFrame]) -> str:
    parts = [
        f"## {name}\n\n" + formats.markdown(_table(panel, found[name]), _caption(stress, name))
        for name, panel in stress.panels.items()
    ]
    return f"# {stress.title}\n\n" + "\n".join(parts)


def _latex(stress: Stress, found: dict[str, pd.DataFrame]) -> str:
    return "\n".join(
        formats.latex(_table(panel, found[name]), _caption(stress, name), f"tab:stress-{name}")
        for name, panel in stress.panels.items()
    )


def _numbers(found: dict[str, pd.DataFrame]) -> str:
    return pd.concat(found.values(), ignore_index=True).to_csv(index=False)
