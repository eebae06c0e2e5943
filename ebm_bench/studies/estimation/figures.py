"""Figures of parameter estimation: errors against sizes and ratios, with their asymptotes."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ebm_bench.report.figures.panels import grid, share_labels
from ebm_bench.report.figures.saving import save
from ebm_bench.report.figures.style import GRAY, SCREEN, Look, Style, variant
from ebm_bench.report.files import figure_paths
from ebm_bench.studies.estimation.suite import EstimationSuite

COLUMNS = 3
LABELS = {"size": "data points N", "ratio": "ratio ν"}
_RATIO = "ν per data point: noise samples (nce), noisy copies (cnce), directions (ssm)"


def write(
    suite: EstimationSuite, summary: pd.DataFrame, folder: Path, style: Style = SCREEN
) -> list[Path]:
    """Draw and save both figures.

    Parameters
    ----------
    suite : EstimationSuite
        Suite of the study.
    summary : DataFrame
        Summary of its results, from `ebm_bench.studies.estimation.report.summarise`.
    folder : Path
        Folder of its results.
    style : Style
        Style of a paper, whose figures go to the folder ``paper``, or of the screen.

    Returns
    -------
    list of Path
        The files written, in the order of `estimation_outputs`.
    """
    written = []
    for along in LABELS:
        paths = figure_paths(folder, f"error-{along}", style.paper)
        with mpl.rc_context(style.rc):
            written += save(against(suite, summary, along, style), paths)
    return written


def against(suite: EstimationSuite, summary: pd.DataFrame, along: str, style: Style) -> Figure:
    """Draw the error against the size or the ratio, a panel for each model.

    Parameters
    ----------
    suite, summary, style
        As for `write`.
    along : {"size", "ratio"}
        The horizontal axis. Against the ratio, a reference without one is a level line, and
        other methods without one are left out.
    """

    def size(columns: int, rows: int) -> tuple[float, float]:
        if style.text is None:
            return 3.6 * columns + 1.6, 2.9 * rows + 0.6
        return style.text, 0.8 * style.text / COLUMNS * rows + 0.5

    figure, axes = grid(len(suite.models), COLUMNS, size)
    looks = {method: variant(place, 0) for place, method in enumerate(suite.methods)}
    if along == "ratio":
        shown = {m: s for m, s in suite.methods.items() if s.varies or s.reference}
        looks = {method: looks[method] for method in shown}
    for model, axis in zip(suite.models, axes, strict=True):
        for method, look in looks.items():
            own = summary[(summary["model"] == model) & (summary["method"] == method)]
            fixed, at = (
                ("ratio", suite.ratio_of(method)) if along == "size" else ("size", suite.size)
            )
            own = own[own[fixed] == at].sort_values(along)
            if along == "size" or suite.methods[method].varies:
                _curve(axis, own, along, look)
                continue
            for level, dashes in (("median", "-"), ("theory_median", ":")):
                axis.axhline(own[level].iloc[0], color=look.colour, linestyle=dashes)
        axis.set(title=model, xlabel=LABELS[along], xscale="log", yscale="log")
    for axis in axes[::COLUMNS]:
        axis.set_ylabel("squared error ‖θ̂ − θ‖²")
    lost = "no estimate for half{}of the data sets"
    if style.paper:
        share_labels(axes, COLUMNS)
        handles = _handles(looks, lost.format(" "))
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
        return figure
    held = f"the number of data points, ν = {suite.ratio}"
    if along == "ratio":
        held = f"the ratio ν, N = {suite.size}"
        figure.supxlabel(_RATIO, fontsize=8)
    figure.suptitle(f"Squared error of the parameters against {held}")
    figure.legend(handles=_handles(looks, lost.format("\n")), loc="outside right center")
    return figure


def _curve(axis: Axes, own: pd.DataFrame, along: str, look: Look) -> None:
    """Draw median, band and theory; a mark at the top shows a median that is not finite."""
    style = {**look.line, "linestyle": "-"}
    finite = own[own["median"] < float("inf")]
    banded = own[own["high"] < float("inf")]
    axis.plot(finite[along], finite["median"], zorder=3, **style)
    axis.fill_between(
        banded[along], banded["low"], banded["high"], color=look.colour, alpha=0.12, linewidth=0
    )
    axis.plot(own[along], own["theory_median"], color=look.colour, linestyle=":", linewidth=1.2)
    lost = own[own["median"] == float("inf")]
    hollow = {**look.point, "markerfacecolor": "white"}
    axis.plot(lost[along], [0.97] * len(lost), transform=axis.get_xaxis_transform(), **hollow)


def _handles(looks: dict[str, Look], lost: str) -> list[Artist]:
    """Make the legend: methods, theory, bands, and marks of medians that are not finite."""
    return [
        *(Line2D([], [], label=m, **{**look.line, "linestyle": "-"}) for m, look in looks.items()),
        Line2D([], [], color=GRAY, linestyle=":", label="theory, median"),
        Patch(color=GRAY, alpha=0.2, label=".1 to .9 quantile"),
        Line2D([], [], color=GRAY, label=lost, marker="o", markerfacecolor="white", linestyle=""),
    ]
