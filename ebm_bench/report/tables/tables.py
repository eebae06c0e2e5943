"""Tables as Markdown, LaTeX and CSV: of each dataset, over all of them, and of each two models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ebm_bench.report.files import TABLE_ENDINGS, macros_path, table_path
from ebm_bench.report.results import Difference, Estimate, Results, Row, label
from ebm_bench.report.tables import macros
from ebm_bench.report.tables.captions import caption, overall_caption, pairs_caption, paper_caption
from ebm_bench.report.tables.formats import latex, markdown
from ebm_bench.report.wording import MISSING, count, estimate, number, probability, quantity
from ebm_bench.utils.files import replacing


def write(views: list[Results], folder: Path) -> list[Path]:
    """Write all tables of a suite.

    Parameters
    ----------
    views : list of Results
        What they show, as `budgets.at_all` gives it.
    folder : Path
        Of the suite's results.

    Returns
    -------
    list of Path
        In the order of `outputs`.
    """
    results, written = views[0], []
    for view in views:
        end = f"-{view.unit}" if view.unit else ""
        for name in view.suite.datasets:
            shown, exact = dataset_table(view, name), dataset_numbers(view, name)
            tex = dataset_latex(view, name, name + end)
            written += _write(view, folder, name + end, shown, exact, caption(view, name), tex)
        shown, exact = overall_table(view), overall_numbers(view)
        tex = overall_latex(view, f"overall{end}")
        written += _write(view, folder, f"overall{end}", shown, exact, overall_caption(view), tex)
    for name in results.suite.datasets:
        shown, exact = pairs_table(results, name), results.comparisons[name]
        told = pairs_caption(results, name)
        tex = latex(shown, told, _label(results, f"{name}-pairs"), keys=2)
        written += _write(results, folder, f"{name}-pairs", shown, exact, told, tex)
    written.append(_save(macros.render(views), macros_path(folder)))
    table = overall_table(results)
    terminal = table.to_markdown(index=False, tablefmt="simple", disable_numparse=True)
    return [*written, _save(terminal + "\n", table_path(folder, "overall", "txt"))]


def dataset_table(results: Results, dataset: str) -> pd.DataFrame:
    """Lay out a dataset's table as text: ranked models first, controls last.

    Parameters
    ----------
    results : Results
        What is shown.
    dataset : str
        Of the suite.

    Returns
    -------
    DataFrame of str
        Metrics as ``mean [low, high]``.
    """
    metrics = by_criterion(results, dataset)
    rows = []
    for row in results.rows(dataset):
        main = results.estimate(dataset, row, metrics[0])
        rows.append(
            {
                "Rank": "control" if row.control else row.place,
                "Method": row.label,
                **{quantity(m).head: cell(results, dataset, row, m) for m in metrics},
                "Difference to the best": difference_cell(results, dataset, row),
                "n": str(main.n) if main.replicates else MISSING,
                "Failed": str(main.failed) if main.replicates else MISSING,
                "Steps": MISSING if row.steps is None else str(row.steps),
                "Training [s]": row.training,
                "Energy evaluations": count(row.run.cost.energy_evaluations)
                if row.run
                else MISSING,
                "Status": row.status,
            }
        )
    return pd.DataFrame(rows)


def dataset_latex(results: Results, dataset: str, name: str) -> str:
    """Write a dataset's table for a paper: best and ties in bold, in the order of ranks."""
    metrics, rows = by_criterion(results, dataset), results.rows(dataset)
    views = {m: results if m == metrics[0] else results.ranked_by(m) for m in metrics}
    best = {
        m: {(row.method, row.model) for row in view.rows(dataset) if row.best}
        for m, view in views.items()
    }
    lines, bold = [], []
    for row in rows:
        found = [results.estimate(dataset, row, m) for m in metrics]
        main, cost = found[0], row.run.cost if row.run else None
        shown = [_narrow(f, m) for f, m in zip(found, metrics, strict=True)]
        lines.append(
            [
                row.label,
                *shown,
                str(main.n) if main.n == main.replicates else f"{main.n} of {main.replicates}",
                row.training,
                count(cost.energy_evaluations) if cost else MISSING,
                row.status,
            ]
        )
        bold.append(
            [
                quantity(m).higher_is_better is not None
                and (row.method, row.model) in best[m]
                and not f.converged < 1
                for f, m in zip(found, metrics, strict=True)
            ]
        )
    heads = [quantity(m).head for m in metrics]
    columns = ["Method", *heads, "n", "Training [s]", "Evaluations", "Status"]
    table = pd.DataFrame(lines, columns=columns)
    if (table["Status"] == "ok").all():
        table = table.drop(columns="Status")
    marked = np.zeros(table.shape, bool)
    marked[:, 1 : 1 + len(metrics)] = bold
    controls = [row.control for row in rows]
    apart = controls.index(True) if True in controls[1:] else None
    told = paper_caption(results, dataset)
    return latex(table, told, _label(results, name), marked, apart=apart)


def _narrow(found: Estimate, metric: str) -> str:
    """Write a summary as ``mean ± half the interval`` where that says it all."""
    below, above = found.mean - found.low, found.high - found.mean
    told = notes(replace(found, n=found.replicates)) if found.n else ""
    text = value(found, metric)
    if "[" in text and np.isclose(below, above):
        mean = text.split(" [")[0]
        decimals = len(mean.partition(".")[2]) if "e" not in mean else None
        text = f"{mean} ± {number((above + below) / 2, decimals)}"
    return text + (f" ({told})" if told else "")


def dataset_numbers(results: Results, dataset: str) -> pd.DataFrame:
    """Lay out a dataset's table as numbers, every quantity with its summary.

    Returns
    -------
    DataFrame
        Columns such as ``kl_mean``, ``kl_low``, ``kl_n`` for each metric and part of one;
        ``difference_mean`` and the like are of the criterion, to the reference.
    """
    metrics = by_criterion(results, dataset)
    rows = []
    for row in results.rows(dataset):
        numbers = {}
        for metric in [*metrics, *results.parts(dataset)]:
            found = results.estimate(dataset, row, metric)
            for name, value in vars(found).items():
                numbers[f"{metric}_{name}"] = value
        difference = results.difference(dataset, row) or Difference(*[np.nan] * 4, n=0)
        cost = row.run.cost.model_dump() if row.run else {}
        rows.append(
            {
                "dataset": dataset,
                "method": row.method,
                "model": row.model,
                "control": row.control,
                "rank": row.rank,
                "mean_rank": row.mean_rank,
                "tied": row.tied,
                "reference": row.reference,
                **{f"difference_{name}": value for name, value in vars(difference).items()},
                "status": row.status,
                "replicates": len(row.run.outcomes) if row.run else 0,
                "steps": row.steps,
                "train_seconds": cost.get("train_seconds"),
                "setup_seconds": cost.get("setup_seconds"),
                "hardware": row.run.provenance.hardware if row.run else None,
                "energy_evaluations": cost.get("energy_evaluations"),
                **numbers,
            }
        )
    integers = dict.fromkeys(["rank", "steps", "energy_evaluations"], "Int64")
    return pd.DataFrame(rows).astype(integers)


def overall_table(results: Results) -> pd.DataFrame:
    """Lay out the ranks on all datasets as text, with their average."""
    table = results.overall
    places = {
        dataset: {(row.method, row.model): row.place for row in results.rows(dataset)}
        for dataset in results.suite.datasets
    }
    rows = [
        {
            "Method": label(row["method"], row["model"]),
            "Average rank": number(row["average_rank"], 2),
            "Datasets": f"{row['datasets']} of {len(places)}",
            **{
                name: place.get((row["method"], row["model"]), MISSING)
                for name, place in places.items()
            },
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["Method", "Average rank", "Datasets", *places])


def overall_latex(results: Results, name: str) -> str:
    """Write the ranks on all datasets for a paper: what is best on a dataset in bold."""
    table = overall_table(results)
    best = {d: {row.label for row in results.rows(d) if row.best} for d in results.suite.datasets}
    marked = np.zeros(table.shape, bool)
    for j, column in enumerate(table.columns):
        marked[:, j] = table["Method"].isin(best.get(column, set()))
    shown = table.replace(regex={r" ≈$": ""})
    told = f"{overall_caption(results, '')} Bold: the best of a dataset, and what ties with it."
    return latex(shown, told, _label(results, name), marked)


def overall_numbers(results: Results) -> pd.DataFrame:
    """Lay out the ranks on all datasets as numbers, with their average."""
    ranks = dict.fromkeys(results.suite.datasets, "Int64")
    return results.overall.astype(ranks)


def pairs_table(results: Results, dataset: str) -> pd.DataFrame:
    """Lay out the comparison of each two models as text, the one ranked better first."""
    head = f"Difference, {quantity(results.suite.datasets[dataset].rank_by).head}"
    rows = [
        {
            "Method": label(pair["method"], pair["model"]),
            "Other": label(pair["other_method"], pair["other_model"]),
            head: estimate(pair["difference"], pair["low"], pair["high"]),
            "n": str(pair["n"]),
            "p": probability(pair["p"]),
            "p, corrected": probability(pair["p_corrected"]),
            "": "better" if pair["better"] else "≈",
        }
        for pair in results.comparisons[dataset].to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["Method", "Other", head, "n", "p", "p, corrected", ""])


def texts(
    results: Results,
    name: str,
    shown: pd.DataFrame,
    exact: pd.DataFrame,
    caption: str,
    tex: str | None = None,
) -> dict[str, str]:
    """Write a table in all formats, by their endings; LaTeX may be laid out in a way of its own."""
    return {
        "md": markdown(shown, caption),
        "tex": tex or latex(shown, caption, _label(results, name)),
        "csv": exact.to_csv(index=False),
    }


def by_criterion(results: Results, dataset: str) -> list[str]:
    """List the metrics of a dataset, the one that ranks it first."""
    spec = results.suite.datasets[dataset]
    return sorted(spec.metrics, key=lambda metric: metric != spec.rank_by)


def cell(results: Results, dataset: str, row: Row, metric: str) -> str:
    """Write the summary of a metric, and in brackets what has to be known of it."""
    found = results.estimate(dataset, row, metric)
    told = notes(found)
    return value(found, metric) + (f" ({told})" if told else "")


def difference_cell(results: Results, dataset: str, row: Row) -> str:
    """Write how a row differs from the reference, with its corrected p value."""
    if row.reference:
        return "reference"
    found = results.difference(dataset, row)
    if found is None or found.n == 0:
        return MISSING
    return f"{estimate(found.mean, found.low, found.high)}, {probability(found.p, 'p')}"


def value(found: Estimate, metric: str) -> str:
    """Write a summary as ``mean [low, high]``, or why there is none."""
    if found.n == 0:
        return "not finite" if found.not_finite else "failed" if found.failed else MISSING
    bound = "≥ " if found.converged < 1 and quantity(metric).lower_bound else ""
    return bound + estimate(found.mean, found.low, found.high)


def notes(found: Estimate) -> str:
    """Say where not all replicates are in a summary, and where not all values converged."""
    part = f"{found.n} of {found.replicates}" if 0 < found.n < found.replicates else ""
    return ", ".join(filter(None, [part, "not converged" if found.converged < 1 else ""]))


def _write(
    results: Results,
    folder: Path,
    name: str,
    shown: pd.DataFrame,
    exact: pd.DataFrame,
    caption: str,
    tex: str,
) -> list[Path]:
    """Write a table in all formats."""
    found = texts(results, name, shown, exact, caption, tex)
    return [_save(found[kind], table_path(folder, name, kind)) for kind in TABLE_ENDINGS]


def _label(results: Results, name: str) -> str:
    return f"tab:{results.suite.name}-{name}"


def _save(text: str, path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text)
    return path
