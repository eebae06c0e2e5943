"""Figures for papers: at the width of a column, of vectors, legible without colour."""

import itertools
import re

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from ebm_bench import report
from ebm_bench.errors import InputError
from ebm_bench.report import files
from ebm_bench.report.figures import cost, paper, pictures, style
from ebm_bench.report.tables import captions


@pytest.fixture(params=["icml", "neurips"])
def venue(request):
    return style.paper(request.param)


@pytest.fixture
def drawn(results):
    """Draw figures for a paper and lay them out: name -> figure."""

    def draw(chosen):
        found = {}
        with mpl.rc_context(chosen.rc):
            for name, make, _, _ in paper._figures(results, chosen):
                found[name] = make()
                found[name].draw_without_rendering()
        return found

    return draw


def test_every_announced_figure_is_written_and_included(results, suite, folder):
    written = report.build_paper(suite, folder, "neurips")
    figures_ = [path for path in written if path.parent.name == "paper"]
    names = files.figure_names(suite, paper=True)
    figures = [path for name in names for path in files.figure_paths(folder, name, paper=True)]
    assert figures_ == [*figures, folder / "paper" / "figures.tex"]
    assert all(path.stat().st_size for path in figures_)
    assert files.macros_path(folder) in written
    text = (folder / "paper" / "figures.tex").read_text()
    included = re.findall(r"\\includegraphics\{(.*?)\.pdf\}", text)
    assert included == files.figure_names(suite, paper=True)
    assert text.isascii()
    for path in figures_:
        if path.suffix == ".pdf":
            page = path.read_bytes()
            assert b"/Type3" not in page
            if b"/Font" in page:
                assert b"/FontFile2" in page  # TrueType, and embedded
            width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", page)[1]) / 72
            wide = f"\\begin{{figure*}}\n\\centering\n\\includegraphics{{{path.name}}}" in text
            assert width == pytest.approx(5.5 if wide else 2.65, abs=1e-3)
        if path.suffix == ".svg":
            assert "<text" not in path.read_text()  # letters are outlines: no font is needed


def test_type_is_legible_and_inside_the_page(drawn, venue):
    for name, figure in drawn(venue).items():
        width, height = figure.get_size_inches() * figure.dpi
        for text in figure.findobj(Text):
            if not text.get_text().strip() or not text.get_visible():
                continue
            assert text.get_fontsize() >= 6, (name, text.get_text())
            box = text.get_window_extent()
            beyond = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height) / figure.dpi
            ticks = re.fullmatch(r"[−\d.$\\{}^a-z]+", text.get_text())
            assert ticks or beyond < 0.06, (name, text.get_text())


def test_venues_are_known():
    with pytest.raises(InputError, match="neurips"):
        style.paper("nips")


def test_models_differ_without_colour():
    looks = [style.variant(*reversed(divmod(place, style.COLOURS))) for place in range(13)]
    assert len({(look.marker) for look in looks}) == len(looks)
    for one, other in itertools.pairwise(looks):
        assert one.dashes != other.dashes
    assert len({look.colour for look in looks[: style.COLOURS]}) == style.COLOURS


def test_colours_are_dark_enough_to_be_seen_in_gray():
    for step in range(style.COLOURS):
        red, green, blue = to_rgb(style.variant(step, 0).colour)
        assert 0.299 * red + 0.587 * green + 0.114 * blue < 0.85


def test_legends_name_each_model_once_in_the_order_of_the_suite(results):
    with mpl.rc_context(style.paper("icml").rc):
        figure = paper.cost(results, ["plane", "pixels"], 6.75)
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert len(told) == len(set(told))
    assert told[:5] == ["winner", "equal", "slow_100", "slow_100 (flow)", "unlucky"]
    assert not any(axis.get_legend() for axis in figure.axes)


def test_a_point_beyond_the_axis_stands_on_its_rim(results, monkeypatch):
    monkeypatch.setattr(cost, "fit_axis", lambda axis, *_, **__: axis.set_ylim(0.01, 0.1))
    lines = cost.cost(results, "plane").axes[0].lines
    rim = [line for line in lines if list(line.get_ydata()) == [1.0]]
    assert {line.get_marker() for line in rim} == {style.variant(2, 0).marker}  # slow_100
    assert {line.get_markerfacecolor() for line in rim} == {"white"}


def test_the_dagger_of_a_point_beyond_the_axis_is_on_its_rim(add_part, monkeypatch):
    results = add_part("plane", "slow_100", "kl", "converged", lambda r: 0.0)
    monkeypatch.setattr(cost, "fit_axis", lambda axis, *_, **__: axis.set_ylim(0.01, 0.1))
    (axis,) = paper.cost(results, ["plane"], 3.25).axes
    (seconds,) = (row.seconds for row in results.rows("plane") if row.label == "slow_100")
    found = [text for text in axis.texts if text.xy == (seconds, 1.0)]
    assert {text.get_text() for text in found} == {"†"}
    # Or it would not be drawn.
    assert {text.get_annotation_clip() for text in found} == {False}


def test_points_that_failed_or_did_not_converge_have_a_dagger(add_part):
    results = add_part("plane", "winner", "kl", "converged", lambda r: 0.0)
    (axis,) = paper.cost(results, ["plane"], 3.25).axes
    rows = {row.seconds: row.label for row in results.rows("plane")}
    marked = {rows[text.xy[0]] for text in axis.texts if text.get_text() == "†"}
    assert marked == {"winner", "unlucky"}
    assert "†: trained to no regular end" in captions.figure_caption(results, "cost", ["plane"])


def test_the_grid_has_a_line_for_each_dataset_on_a_scale_of_its_own(results):
    figure = pictures.density_grid(results, ["plane"], 6.75)
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 7
    assert len({image.get_clim() for image in images}) == 1
    heads = [axis.get_title() for axis in figure.axes[:7]]
    assert heads == ["truth", "gaussian_fit", "winner", "equal", "slow_100", "slow_100 (flow)",
                     "unlucky"]  # fmt: skip
    assert "colour scale" in captions.figure_caption(results, "density grid", ["plane"])


@pytest.mark.parametrize(
    "kind", ["densities", "density grid", "samples", "cost", "curves", "critical difference"]
)
def test_captions_state_replicates_and_budget(results, kind):
    text = captions.figure_caption(results, kind, ["plane", "pixels"])
    assert "n = 6 replicates" in text
    assert "1000 steps of 256 points, at most 60 s" in text


def test_captions_tell_budgets_that_differ(results):
    pixels = results.suite.datasets["pixels"]
    results.suite.datasets["pixels"] = pixels.model_copy(update={"replicates": 2})
    text = captions.figure_caption(results, "cost", ["plane", "pixels"])
    assert "plane: n = 6 replicates" in text
    assert "pixels: n = 2 replicates" in text
