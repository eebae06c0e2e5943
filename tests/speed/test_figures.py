"""The figures show what the record holds."""

import pytest

from benchmarks.speed import figures
from benchmarks.speed.results import Record


def lines(axis):
    return {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}


def test_cost_is_in_plain_steps_beside_its_bounds(record):
    (axis,) = figures.cost(record).axes
    found = lines(axis)
    assert found["ours"] == [[2, pytest.approx(2.0)], [8, pytest.approx(2.0)]]
    assert found["published"] == [[2, pytest.approx(10.0)], [8, pytest.approx(10.0)]]
    at_peak = ": its matrix products at the machine's peak"
    assert found["ours" + at_peak] == [[2, pytest.approx(0.2)], [8, pytest.approx(0.2)]]
    assert found["published" + at_peak] == [[2, pytest.approx(0.4)], [8, pytest.approx(0.4)]]
    assert not {"torchebm", "ebmkit"} & found.keys()
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    assert axis.get_ylabel() == "cost of a step [plain steps]"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["2", "8"]


def test_memory_is_that_of_a_point(record):
    (axis,) = figures.memory(record).axes
    assert lines(axis)["ours"] == [[2, 20.0], [8, 20.0]]
    assert lines(axis)["published"] == [[2, 100.0], [8, 100.0]]
    assert axis.get_ylabel() == "peak memory of a step [kB per point]"


def test_each_curve_has_a_panel_and_every_line_one_name(record):
    other = record.rows[0].model_copy(update={"curve": "sliced score matching"})
    figure = figures.cost(record.model_copy(update={"rows": [*record.rows, other]}))
    assert [axis.get_title() for axis in figure.axes] == [
        "exact score matching", "sliced score matching"
    ]  # fmt: skip
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == len(set(names)) == 4


def test_contenders_keep_their_colour_when_others_are_missing(record):
    (axis,) = figures.cost(record).axes
    ours = next(line for line in axis.get_lines() if line.get_label() == "ours")
    for row in record.rows:
        row.contenders.pop("published")
    (axis,) = figures.cost(record).axes
    assert next(iter(axis.get_lines())).get_color() == ours.get_color()


def test_files(record, tmp_path):
    paths = figures.write(record, tmp_path)
    assert [path.name for path in paths] == ["cost.png", "cost.pdf", "memory.png", "memory.pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_rows_without_a_curve_make_no_figure(tmp_path):
    assert figures.write(Record(), tmp_path) == []
