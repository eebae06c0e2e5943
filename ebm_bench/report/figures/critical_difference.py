"""Critical-difference diagram: which methods differ over all datasets of a suite."""

import textwrap
from typing import Any

import scikit_posthocs
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ebm_bench.report.figures.style import SCREEN, Style, look, short
from ebm_bench.report.results import Results
from ebm_bench.report.rows import label
from ebm_bench.report.statistics.friedman import MODELS, RankTests
from ebm_bench.report.statistics.intervals import ALPHA
from ebm_bench.report.tables.captions import verdict

_WIDTH = 8.0


def critical_difference(results: Results, style: Style = SCREEN) -> Figure:
    """Draw the average ranks, and a bar over those that do not differ significantly.

    Returns
    -------
    Figure
        One panel, or a line of text if there is nothing to compare yet.

    References
    ----------
    Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006,
    https://jmlr.org/papers/v7/demsar06a.html.
    """
    found = results.rank_tests
    if found is None:
        figure = Figure(figsize=(style.text or _WIDTH, 1.2))
        text = f"Fewer than {MODELS} methods are ranked on all datasets: nothing to compare yet."
        figure.text(0.5, 0.5, text, ha="center", va="center")
        return figure
    rows = [row for dataset in results.suite.datasets for row in results.rows(dataset)]
    return draw(found, {row.label: look(results.suite, row).colour for row in rows}, style)


def draw(found: RankTests, colours: dict[str, Any], style: Style = SCREEN) -> Figure:
    """Draw a comparison, with the colour of each model by its label."""
    names = [label(*key) for key in found.ranks.index]
    pairs = found.pairs.loc[found.ranks.index, found.ranks.index]
    height = 0.6 + 0.08 * len(names) if style.paper else 2.2 + 0.17 * len(names)
    figure = Figure(figsize=(style.text or _WIDTH, height))
    axis = figure.add_subplot()
    axis.grid(False)
    drawn = scikit_posthocs.critical_difference_diagram(
        found.ranks.set_axis(names),
        pairs.set_axis(names, axis=0).set_axis(names, axis=1),
        alpha=ALPHA,
        ax=axis,
        color_palette={name: colours[name] for name in names},
        label_fmt_left="{label}  {rank:.2f} ",
        label_fmt_right=" {rank:.2f}  {label}",
        crossbar_props={"linewidth": 3},
        text_h_margin=0.3,
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlim(0.6, len(names) + 0.4)
    axis.spines["top"].set_visible(True)
    axis.tick_params(direction="in", pad=2)
    if found.decides:
        end = 1 + found.critical_difference
        axis.plot([1, end], [1.1, 1.1], color="black", marker="|", linewidth=1)
        axis.text(
            (1 + end) / 2, 1.2, "critical difference", ha="center", va="bottom", fontsize="small"
        )
    for text in drawn["labels"]:
        text.set_color("black")  # some of the colours are too pale to read
        text.set_text(" ".join(map(short, text.get_text().split(" "))))
    for (bar,) in drawn["crossbars"]:
        bar.set_xdata(sorted(bar.get_xdata()))  # they come in an order that changes between runs
    if style.paper:
        return figure
    figure.suptitle(
        f"Average rank on {found.datasets} datasets, 1 is best; "
        "bars join methods that do not differ significantly",
        fontsize=9,
    )
    figure.supxlabel(textwrap.fill(verdict(found), 115), fontsize=8)
    return figure
