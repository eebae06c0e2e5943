"""Tables as Markdown, LaTeX and CSV: one for each dataset, and one over all of them."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ebm_bench.records import replacing
from ebm_bench.report import statistics
from ebm_bench.report.files import TABLE_ENDINGS, table_path
from ebm_bench.report.results import Estimate, Results, Row, label
from ebm_bench.report.wording import MISSING, count, estimate, number, quantity

TIES = (
    "≈: not told apart from the best by the paired difference of replicates, or not comparable "
    "because replicates are missing."
)
ORDER = "Methods ranked on more datasets come first, so that a missing dataset never helps."
MARKS = (
    "2 of 3: only so many replicates have a finite value; not converged: the metric itself does "
    "not vouch for a value; ≥: which is no more than a lower bound."
)
# What LaTeX needs in place of a character; pdflatex knows few of them.
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "‖": r"$\|$",
    "×": r"$\times$",
    "·": r"$\cdot$",
}


def write(results: Results, folder: Path) -> list[Path]:
    """Write all tables of a suite.

    Parameters
    ----------
    results : Results
        What they show.
    folder : Path
        Of the suite's results.

    Returns
    -------
    list of Path
        In the order of `outputs`.
    """
    suite = results.suite
    shown = {name: dataset_table(results, name) for name in suite.datasets}
    exact = {name: dataset_numbers(results, name) for name in suite.datasets}
    captions = {name: caption(results, name) for name in suite.datasets}
    shown["overall"], exact["overall"] = overall_table(results), overall_numbers(results)
    captions["overall"] = overall_caption(results)
    written = []
    for name, table in shown.items():
        texts = (
            markdown(table, captions[name]),
            latex(table, captions[name], f"tab:{suite.name}-{name}"),
            exact[name].to_csv(index=False),
        )
        for text, kind in zip(texts, TABLE_ENDINGS, strict=True):
            written.append(_write(text, table_path(folder, name, kind)))
    terminal = shown["overall"].to_markdown(index=False, tablefmt="simple", disable_numparse=True)
    return [*written, _write(terminal + "\n", table_path(folder, "overall", "txt"))]


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
                "n": str(main.n) if main.replicates else MISSING,
                "Failed": str(main.failed) if main.replicates else MISSING,
                "Training [s]": number(row.seconds),
                "Energy evaluations": count(row.run.cost.energy_evaluations)
                if row.run
                else MISSING,
                "Status": row.status,
            }
        )
    return pd.DataFrame(rows)


def dataset_numbers(results: Results, dataset: str) -> pd.DataFrame:
    """Lay out a dataset's table as numbers, every quantity with its summary.

    Returns
    -------
    DataFrame
        Columns such as ``kl_mean``, ``kl_low``, ``kl_n`` for each metric and part of one.
    """
    metrics = by_criterion(results, dataset)
    rows = []
    for row in results.rows(dataset):
        numbers = {}
        for metric in [*metrics, *results.parts(dataset)]:
            found = results.estimate(dataset, row, metric)
            for name, value in asdict(found).items():
                numbers[f"{metric}_{name}"] = value
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
                "status": row.status,
                "replicates": len(row.run.outcomes) if row.run else 0,
                "train_seconds": cost.get("train_seconds"),
                "setup_seconds": cost.get("setup_seconds"),
                "energy_evaluations": cost.get("energy_evaluations"),
                **numbers,
            }
        )
    integers = {"rank": "Int64", "energy_evaluations": "Int64"}
    return pd.DataFrame(rows).astype(integers)


def overall_table(results: Results) -> pd.DataFrame:
    """Lay out the ranks on all datasets as text, with their average."""
    table = statistics.overall(results.rankings)
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


def overall_numbers(results: Results) -> pd.DataFrame:
    """Lay out the ranks on all datasets as numbers, with their average."""
    ranks = dict.fromkeys(results.suite.datasets, "Int64")
    return statistics.overall(results.rankings).astype(ranks)


def caption(results: Results, dataset: str) -> str:
    """Say what a dataset's table shows: replicates, budget, criterion, kind of interval."""
    spec = results.suite.datasets[dataset]
    budget = spec.budget
    sentences = [
        f"{dataset}: {spec.replicates} replicates per method, {budget.steps} steps of "
        f"{budget.batch_size} points, at most {budget.seconds:g} s.",
        f"Ranked by {quantity(spec.rank_by).label} ({quantity(spec.rank_by).arrow}); the mean rank "
        "over replicates decides, and a replicate that failed takes the last place.",
        TIES,
        f"In brackets: {statistics.INTERVAL}; n: replicates with a finite value. {MARKS}",
        "Training seconds are those of setting up and training all replicates together, energy "
        "evaluations those of one replicate.",
        statistics.caution(spec.replicates),
        statistics.COMPARISONS,
    ]
    return " ".join(filter(None, sentences))


def overall_caption(results: Results) -> str:
    """Say what the overall table shows."""
    suite = results.suite
    by = ", ".join(f"{name} by {quantity(s.rank_by).label}" for name, s in suite.datasets.items())
    return (
        f"Ranks on the datasets of suite {suite.name}, version {suite.version} ({by}), and their "
        f"average over the datasets where the method is ranked. {ORDER} Controls are not ranked. "
        + TIES
    )


def by_criterion(results: Results, dataset: str) -> list[str]:
    """List the metrics of a dataset, the one that ranks it first."""
    spec = results.suite.datasets[dataset]
    return sorted(spec.metrics, key=lambda metric: metric != spec.rank_by)


def cell(results: Results, dataset: str, row: Row, metric: str) -> str:
    """Write the summary of a metric, and in brackets what has to be known of it."""
    found = results.estimate(dataset, row, metric)
    told = notes(found)
    return value(found, metric) + (f" ({told})" if told else "")


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


def markdown(table: pd.DataFrame, caption: str) -> str:
    """Write a table as Markdown, its caption above it."""
    return f"{caption}\n\n{table.to_markdown(index=False, disable_numparse=True)}\n"


def latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """Write a table as LaTeX that needs the packages booktabs and graphicx.

    Parameters
    ----------
    table : DataFrame of str
        What it shows; controls, marked in the first column, are set apart by a rule.
    caption, label : str
        Of the table.
    """
    body = [table.columns, *table.itertuples(index=False)]
    lines = [" & ".join(escape(str(text)) for text in row) + r" \\" for row in body]
    controls = [str(row[0]) == "control" for row in table.itertuples(index=False)]
    if True in controls[1:]:
        lines.insert(1 + controls.index(True), r"\midrule")
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * table.shape[1]}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Write text so that LaTeX shows it as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _write(text: str, path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text)
    return path
