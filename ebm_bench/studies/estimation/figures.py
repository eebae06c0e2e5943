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
    for along, draw in (("size", against_size), ("ratio", against_ratio)):
        paths = figure_paths(folder, f"error-{along}", style.paper)
        with mpl.rc_context(style.rc):
            written += save(draw(suite, summary, style), paths)
    return written


def against_size(suite: EstimationSuite, summary: pd.DataFrame, style: Style = SCREEN) -> Figure:
    """Draw the error against the number of data points, a panel for each model."""
    figure, panels = _panels(suite, style)
    for model, axis in panels.items():
        for method, look in _looks(suite).items():
            own = _rows(summary, model, method)
            own = own[own["ratio"] == suite.ratio_of(method)].sort_values("size")
            _curve(axis, own, "size", look)
        axis.set(title=model, xlabel="data points N", xscale="log", yscale="log")
    if not style.paper:
        figure.suptitle(
            f"Squared error of the parameters against the number of data points, ν = {suite.ratio}"
        )
    return _finish(figure, suite, list(panels.values()), list(suite.methods), style)


def against_ratio(suite: EstimationSuite, summary: pd.DataFrame, style: Style = SCREEN) -> Figure:
    """Draw the error against the ratio, a panel for each model; level lines have no ratio."""
    figure, panels = _panels(suite, style)
    shown = [m for m, spec in suite.methods.items() if spec.varies or spec.reference]
    for model, axis in panels.items():
        for method, look in _looks(suite).items():
            own = _rows(summary, model, method)
            own = own[own["size"] == suite.size].sort_values("ratio")
            if suite.methods[method].varies:
                _curve(axis, own, "ratio", look)
            elif suite.methods[method].reference:
                for level, dashes in (("median", "-"), ("theory_median", ":")):
                    axis.axhline(own[level].iloc[0], color=look.colour, linestyle=dashes)
        axis.set(title=model, xlabel="ratio ν", xscale="log", yscale="log")
    if not style.paper:
        figure.suptitle(f"Squared error of the parameters against the ratio ν, N = {suite.size}")
        figure.supxlabel(_RATIO, fontsize=8)
    return _finish(figure, suite, list(panels.values()), shown, style)


def _panels(suite: EstimationSuite, style: Style) -> tuple[Figure, dict[str, Axes]]:
    def size(columns: int, rows: int) -> tuple[float, float]:
        if style.text is None:
            return 3.6 * columns + 1.6, 2.9 * rows + 0.6
        return style.text, 0.8 * style.text / COLUMNS * rows + 0.5

    figure, axes = grid(len(suite.models), COLUMNS, size)
    return figure, dict(zip(suite.models, axes, strict=True))


def _looks(suite: EstimationSuite) -> dict[str, Look]:
    return {method: variant(place, 0) for place, method in enumerate(suite.methods)}


def _rows(summary: pd.DataFrame, model: str, method: str) -> pd.DataFrame:
    return summary[(summary["model"] == model) & (summary["method"] == method)]


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


def _finish(
    figure: Figure, suite: EstimationSuite, axes: list[Axes], methods: list[str], style: Style
) -> Figure:
    if style.paper:
        share_labels(axes, COLUMNS)
    for axis in axes[::COLUMNS]:
        axis.set_ylabel("squared error ‖θ̂ − θ‖²")
    looks = _looks(suite)
    handles: list[Artist] = [
        Line2D([], [], label=m, **{**looks[m].line, "linestyle": "-"}) for m in methods
    ]
    handles += [
        Line2D([], [], color=GRAY, linestyle=":", label="theory, median"),
        Patch(color=GRAY, alpha=0.2, label=".1 to .9 quantile"),
        Line2D(
            [], [], color=GRAY, marker="o", markerfacecolor="white", linestyle="",
            label="no estimate for half of the data sets" if style.paper
            else "no estimate for half\nof the data sets",
        ),
    ]  # fmt: skip
    if style.paper:
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
    else:
        figure.legend(handles=handles, loc="outside right center")
    return figure
