"""Style of all figures: a method has the same colour and marker in each."""

from dataclasses import dataclass, field
from typing import Any

import seaborn as sns

from ebm_bench.errors import unknown
from ebm_bench.report.rows import Row
from ebm_bench.suites.suite import Suite

DENSITY = "mako_r"
GRAY = "0.45"
COLOURS = 8
_MARKERS = "osD^vPX*<>pdh8"
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))

RC: dict[Any, Any] = {
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
    # TrueType, which every publisher accepts; some refuse Type 3.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    # With a random salt, a figure would differ from run to run.
    "svg.hashsalt": "ebm-bench",
}
_TICKS = {
    "labelsize": 7,
    "major.pad": 2,
    "major.size": 2.5,
    "minor.size": 1.5,
    "major.width": 0.6,
}
# Times, as the venues use; drawn at the size at which it is printed, no type below 6 points.
_PAPER = {
    **RC,
    "figure.constrained_layout.w_pad": 0.02,
    "figure.constrained_layout.h_pad": 0.02,
    "savefig.dpi": 300,
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.linewidth": 0.6,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in _TICKS.items()},
    "grid.linewidth": 0.4,
    "legend.fontsize": 7,
    "legend.handlelength": 2.2,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.0,
    "legend.labelspacing": 0.25,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.2,
}
SMALL = 6.5  # points: the smallest type on a figure for a paper

# Widths of a column and of the text in inches. If pages have one column, the first is the width
# of each of two figures side by side, .2 inches apart.
_WIDTHS = {
    "icml": (3.25, 6.75),  # icml2025.sty: \textwidth 6.75in, \columnsep 0.25in
    "aistats": (3.25, 6.75),  # aistats2025.sty: \textwidth 6.75in, \columnsep 0.25in
    "neurips": (2.65, 5.5),  # neurips_2025.sty: geometry, textwidth=5.5in
    "iclr": (2.65, 5.5),  # iclr2025_conference.sty: \textwidth 5.5in
    "jmlr": (2.9, 6.0),  # jmlr2e.sty: \textwidth 6.0in
}
VENUES = tuple(_WIDTHS)


@dataclass(frozen=True)
class Style:
    """Style of figures on the screen, or in a paper at the width of its columns.

    Attributes
    ----------
    column, text : float or None
        Widths in inches of figures with one panel and with several. None on the screen, where a
        figure is as wide as it needs to be, with titles and a legend beside it.
    rc : dict
        Settings of matplotlib.
    """

    column: float | None = None
    text: float | None = None
    rc: dict[Any, Any] = field(default_factory=lambda: RC, hash=False)

    @property
    def paper(self) -> bool:
        """Whether the figure has a given width, and a caption instead of a title."""
        return self.text is not None


SCREEN = Style()


def paper(venue: str) -> Style:
    """Return the style for a venue.

    Raises
    ------
    InputError
        If the venue is not one of `VENUES`.
    """
    if venue not in _WIDTHS:
        raise unknown("venue", venue, VENUES)
    return Style(*_WIDTHS[venue], _PAPER)


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a model; by-products are drawn hollow."""

    colour: tuple[float, float, float] | str
    marker: str
    dashes: object
    hollow: bool

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for a line with markers."""
        face = "white" if self.hollow else self.colour
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dashes,
            "markerfacecolor": face,
        }

    @property
    def point(self) -> dict[str, Any]:
        """Keyword arguments for markers without a line."""
        return {**self.line, "linestyle": ""}


def look(suite: Suite, row: Row) -> Look:
    """Choose the look of a row by the place of its method in the suite.

    There are eight colours that colour-blind readers can distinguish: seaborn's palette without
    its gray, which is for controls, and its yellow, which is pale on white. Markers and dashes
    differ between neighbours and each time a colour is used again, so that all rows can be
    distinguished without colour.
    """
    methods = [name for name, spec in suite.methods.items() if spec.control == row.control]
    place, hollow = methods.index(row.method), row.model != "energy"
    if row.control:
        return Look(GRAY, "", _DASHES[(place + 1) % len(_DASHES)], hollow)
    turn, step = divmod(place, COLOURS)
    return variant(step, turn, hollow)


def short(name: str, longest: int = 24) -> str:
    """Leave the middle of a long name out, which would leave no room for the figure."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def legend_of(row: Row, notes: bool) -> str:
    """Name a model in a legend, and on request how its training ended."""
    name = f"control: {short(row.label)}" if row.control else short(row.label)
    return f"{name}: {row.status}" if notes and row.status != "ok" else name


def variant(step: int, turn: int, hollow: bool = False) -> Look:
    """Choose one of `COLOURS` colours, with the marker and dashes of its ``turn``-th use."""
    palette = sns.color_palette("colorblind")
    colour = [*palette[:7], palette[9]][step % COLOURS]
    marker = _MARKERS[(step + COLOURS * turn) % len(_MARKERS)]
    return Look(tuple(colour), marker, _DASHES[(step + turn) % len(_DASHES)], hollow)
