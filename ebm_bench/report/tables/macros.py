r"""A LaTeX macro for every number that a text might cite, so that none goes stale.

A name holds letters alone: ``\ebm``, then suite, dataset, metric and method, and what of it is
meant. Digits and points are spelled: ``dsm-0.2`` is ``DsmZeroPointTwo``.
"""

import re
from collections.abc import Iterator

import numpy as np

from ebm_bench.report.columns import Difference, Estimate, Value, cell_of
from ebm_bench.report.formatting import probability
from ebm_bench.report.results import Results
from ebm_bench.report.rows import Row, label
from ebm_bench.report.tables.formats import LATEX, escape, latex_number

_DIGITS = ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"]
_EQUAL = {"steps": "EqualSteps", "seconds": "EqualSeconds", "evaluations": "EqualEvaluations"}
_HEAD = r"""% Numbers of the suite {suite}, version {version}. Put this file beside the text
% and write \input{{macros}} in its preamble.
%
% \ebm<Suite><Dataset><Metric><Method>: the mean over replicates, geometric on the log scale, with
%   a sign before it where it is a bound, and followed by Low, High, Interval: the ends of its 95 %
%   interval; mean [low, high] with what is to be said of them, as in the tables.
% \ebm<Suite><Dataset>...<Method>, with ... one of
%   Rank, RankEqualSteps, RankEqualSeconds, RankEqualEvaluations: its place, 1 is best;
%   Difference, DifferenceLow, DifferenceHigh, DifferenceP: of the ranking metric to the best
%     (a factor on the log scale);
%   N, Failed: replicates with a finite value of the ranking metric, and those that failed;
%   Steps, Seconds, Evaluations: what training took.
% \ebm<Suite><Dataset>...: Replicates, BudgetSteps, BudgetBatch, BudgetSeconds.
% \ebm<Suite>AverageRank<Method>, and \ebm<Suite>...: Version, Methods, FriedmanP,
%   CriticalDifference, Datasets: those that enter the average rank.
% A by-product is named after its method: fce (flow) is FceFlow.
"""


def render(views: list[Results]) -> str:
    """Write the macros of a suite.

    Two things that would share a name get none: it raises an error in LaTeX that names both.

    Parameters
    ----------
    views : list of Results
        At the end of training, and at equal budgets, of which the ranks are taken.
    """
    found: dict[str, dict[str, str]] = {}
    for words, value in _numbers(views):
        name = "ebm" + "".join(map(letters, words))
        found.setdefault(name, {})[" ".join(filter(None, words))] = value
    suite = views[0].suite
    lines = [_HEAD.format(suite=escape(suite.name), version=suite.version)]
    for name, meanings in found.items():
        if len(meanings) == 1:
            (value,) = meanings.values()
            lines.append(rf"\newcommand{{\{name}}}{{{value}}}")
        else:
            listed = " and ".join(meanings).replace("_", "-")
            lines.append(
                rf"\newcommand{{\{name}}}{{\PackageError{{ebm-bench}}"
                rf"{{\string\{name} could be {listed}}}{{}}}}"
            )
    return "\n".join([*lines, ""])


def letters(text: str) -> str:
    """Write a name with letters alone: ``kl_divergence`` to ``KlDivergence``."""
    spelled = re.sub(r"(?<=\d)\.(?=\d)", "-point-", text)
    spelled = re.sub(r"\d", lambda digit: f"-{_DIGITS[int(digit[0])]}-", spelled)
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[^A-Za-z]+", spelled) if part)


def _numbers(views: list[Results]) -> Iterator[tuple[list[str], str]]:
    """List the words of each name, and the number as LaTeX."""
    results = views[0]
    suite = results.suite
    for dataset, spec in suite.datasets.items():
        place = [suite.name, dataset]
        budget = spec.budget
        yield [*place, "Replicates"], str(spec.replicates)
        yield [*place, "BudgetSteps"], str(budget.steps)
        yield [*place, "BudgetBatch"], str(budget.batch_size)
        yield [*place, "BudgetSeconds"], f"{budget.seconds:g}"
        for row in results.rows(dataset):
            for metric in [*spec.metrics, *results.parts(dataset)]:
                found = results.estimate(dataset, row, metric)
                if found.replicates:
                    name = [*place, metric, row.label]
                    yield from _summary(name, found, found.bound)
                    yield [*name, "Interval"], _written(found)
            yield from _training(results, dataset, row, place)
        for view in views:
            for row in view.rows(dataset):
                if row.rank is not None:
                    yield [*place, f"Rank{_EQUAL.get(view.unit, '')}", row.label], str(row.rank)
    for ranked in results.overall.to_dict("records"):
        words = [suite.name, "AverageRank", label(ranked["method"], ranked["model"])]
        yield words, latex_number(ranked["average_rank"], 2)
    yield [suite.name, "Version"], str(suite.version)
    yield [suite.name, "Datasets"], str(len(results.counted))
    yield [suite.name, "Methods"], str(sum(not m.control for m in suite.methods.values()))
    if tests := results.rank_tests:
        yield [suite.name, "FriedmanP"], escape(probability(tests.p))
        yield [suite.name, "CriticalDifference"], latex_number(tests.critical_difference, 2)


def _training(
    results: Results, dataset: str, row: Row, place: list[str]
) -> Iterator[tuple[list[str], str]]:
    """List what a table shows of a model beside its metrics."""
    main = results.estimate(dataset, row, results.suite.datasets[dataset].rank_by)
    yield [*place, "N", row.label], str(main.n)
    yield [*place, "Failed", row.label], str(main.failed)
    if row.evaluations:
        yield [*place, "Steps", row.label], str(row.steps)
        yield [*place, "Seconds", row.label], _written(row.training)
        yield [*place, "Evaluations", row.label], row.evaluations
    difference = results.difference(dataset, row)
    if difference and np.isfinite(difference.mean):
        name = [*place, "Difference", row.label]
        yield from _summary(name, difference)
        yield [*name, "P"], escape(probability(difference.p))


def _summary(
    name: list[str], found: Estimate | Difference, bound: str = ""
) -> Iterator[tuple[list[str], str]]:
    yield name, escape(bound) + latex_number(found.mean)
    yield [*name, "Low"], latex_number(found.low)
    yield [*name, "High"], latex_number(found.high)


def _written(value: Value) -> str:
    return str(cell_of(value, LATEX))
