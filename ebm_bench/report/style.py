"""One look for all figures: the same method has the same colour and marker everywhere."""

from dataclasses import dataclass

import seaborn as sns

from ebm_bench.report.results import Row
from ebm_bench.suite import Suite

RC = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "ebm-bench",
}
DENSITY = "mako_r"
GRAY = "0.45"
COLOURS = 8
_MARKERS = "osD^vPX*<>"
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a model; by-products are drawn hollow."""

    colour: tuple[float, float, float] | str
    marker: str
    dashes: object
    hollow: bool

    @property
    def line(self) -> dict:
        """Arguments of a line with markers."""
        face = "white" if self.hollow else self.colour
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dashes,
            "markerfacecolor": face,
        }

    @property
    def point(self) -> dict:
        """Arguments of markers without a line."""
        return {**self.line, "linestyle": ""}


def look(suite: Suite, row: Row) -> Look:
    """Choose the look of a row by the place of its method in the suite.

    Eight colours that colour-blind readers can tell apart, without the palette's gray, which
    is for controls, and its yellow, which is pale on white. Markers differ between neighbours
    and from round to round, so that colour is never the only sign.
    """
    methods = [name for name, spec in suite.methods.items() if spec.control == row.control]
    place, hollow = methods.index(row.method), row.model != "energy"
    if row.control:
        return Look(GRAY, "", _DASHES[(place + 1) % len(_DASHES)], hollow)
    turn, step = divmod(place, COLOURS)
    return variant(step, turn, hollow)


def variant(step: int, turn: int, hollow: bool = False) -> Look:
    """Choose one of `COLOURS` colours, with the marker and the dashes of the ``turn``-th use."""
    palette = sns.color_palette("colorblind")
    colour = [*palette[:7], palette[9]][step % COLOURS]
    marker = _MARKERS[(step + 3 * turn) % len(_MARKERS)]
    return Look(tuple(colour), marker, _DASHES[turn % len(_DASHES)], hollow)
