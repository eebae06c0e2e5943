"""The figure and the tables of stress tests, of numbers that are made up."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from factories.suites import changed, toy_panel

from ebm_bench.errors import InputError
from ebm_bench.report.files import stress_outputs
from ebm_bench.studies.stress import figures, report
from ebm_bench.studies.stress.suite import VALUES, Stress

REPLICATES = 3
MEASURE = "sampled_kl_divergence"
PANEL = {
    "title": "What fails",
    "knob": {"label": "width σ [cm]", "values": [0.1, 1, 10], "scale": "log"},
    "floor": 1e-4,
    "theory": {
        "bias": {"curve": "dsm_bias_kl"},
        "error": {"curve": "nce_bayes_error", "axis": "right"},
    },
    "datasets": {"gaussian": toy_panel()["datasets"]["gaussian"] | {"settings": {"mean": "$knob"}}},
    "methods": {
        "dsm-1": {"objective": "denoising_score_matching"},
        "dsm-2": {"objective": "denoising_score_matching"},
        "ml": {"objective": "maximum_likelihood"},
        "gaussian": {"objective": "untrained", "control": True},
    },
}
STRESS = Stress.model_validate(
    {
        "name": "small",
        "version": 3,
        "title": "Stress",
        "panels": {"one": PANEL, "two": {**PANEL, "floor": None, "theory": {}}},
    }
)


def values(failing=()):
    """Replicates around 10, 20, 30 and 40 times the knob; some of ``dsm-1`` at 10 diverge."""
    rows = []
    for knob, (place, method), r in itertools.product(
        (0.1, 1.0, 10.0), enumerate(PANEL["methods"]), range(REPLICATES)
    ):
        bad = method == "dsm-1" and knob == 10 and r in failing
        about = {
            "panel": "one", "knob": knob, "dataset": "gaussian", "method": method,
            "model": "energy", "replicate": r, "standard_error": None,
            "status": "diverged" if bad else "ok",
        }  # fmt: skip
        measured = {MEASURE: 10 * (place + 1) * knob + r - 1, "other": 7.0}
        rows += [
            {**about, "metric": name, "value": None if bad else value}
            for name, value in measured.items()
        ]
    return pd.DataFrame(rows)


@pytest.fixture
def folder(tmp_path):
    def write(failing=()):
        for panel in STRESS.panels:
            path = tmp_path / "panels" / panel / VALUES
            path.parent.mkdir(parents=True, exist_ok=True)
            values(failing).assign(settings=STRESS.settings(panel)).to_parquet(path)
        return tmp_path

    return write


def summaries(folder):
    return {name: report.summary(STRESS, name, folder / "panels") for name in STRESS.panels}


def test_builds_what_it_announces_with_interval_number_and_failures(folder):
    results = folder((0,))
    written = report.build(STRESS, results)
    assert written == stress_outputs(results)
    assert all(path.stat().st_size > 500 for path in written)
    text = (results / "tables" / "stress.md").read_text()
    assert "## one" in text
    assert "## two" in text
    row = next(line for line in text.splitlines() if line.startswith("| dsm-1"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[0] == "dsm-1"
    assert re.fullmatch(r"10\.0+ \[7\.5\d*, 12\.5\]", cells[2])
    assert "(2 of 3)" in cells[3]
    assert cells[4:] == ["2–3", "1"]
    numbers = pd.read_csv(results / "tables" / "stress.csv")
    assert len(numbers) == 24
    assert numbers["failed"].sum() == 2
    tex = (results / "tables" / "stress.tex").read_text()
    assert tex.count(r"\begin{table*}") == 2
    assert tex.count("dsm-1") == 2


def test_the_measure_is_summarised_at_each_value(folder):
    found = report.summary(STRESS, "one", folder((1,)) / "panels")
    assert set(found["metric"]) == {MEASURE}
    assert len(found) == 12
    row = found[(found["method"] == "ml") & (found["knob"] == 1)].iloc[0]
    assert (row["mean"], row["n"], row["failed"]) == (30, 3, 0)
    # Student's t of three values with standard deviation 1.
    assert row["high"] - row["mean"] == pytest.approx(4.3027 / math.sqrt(3), rel=1e-3)
    row = found[(found["method"] == "dsm-1") & (found["knob"] == 10)].iloc[0]
    assert (row["n"], row["failed"]) == (2, 1)


def test_a_line_for_each_method_and_theory(folder):
    figure = figures.figure(STRESS, summaries(folder()))
    left, _, right = figure.axes[0], figure.axes[1], figure.axes[2]
    assert left.get_title() == "What fails"
    assert left.get_xlabel() == "width σ [cm]"
    assert left.get_ylabel() == "KL [nats], lower is better"
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        "dsm-1", "dsm-2", "ml", "gaussian", "theory: bias", "theory: error",
    ]  # fmt: skip
    lines = {line.get_label(): line for line in left.get_lines() + right.get_lines()}
    np.testing.assert_allclose(lines["ml"].get_ydata(), [3, 30, 300])
    x = lines["theory: error"].get_xdata()
    assert (x[0], x[-1]) == (pytest.approx(0.1), pytest.approx(10))
    assert lines["theory: error"].axes is right
    assert lines["theory: bias"].axes is left
    assert lines["dsm-1"].get_color() == lines["dsm-2"].get_color() != lines["ml"].get_color()
    assert lines["dsm-1"].get_marker() != lines["dsm-2"].get_marker()


def crosses(axis):
    return [
        (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axis.get_lines()
        if line.get_marker() == "x" and len(line.get_xdata())
    ]


def test_failed_replicates_are_marked(folder):
    axis = figures.figure(STRESS, summaries(folder())).axes[0]
    assert crosses(axis) == []
    axis = figures.figure(STRESS, summaries(folder((0,)))).axes[0]
    assert crosses(axis) == [([10.0], [100.5])]
    axis = figures.figure(STRESS, summaries(folder((0, 1, 2)))).axes[0]
    assert crosses(axis) == [([10.0], [0.97])]  # at the top, as there is no value


def test_what_is_below_the_axis_is_drawn_open_at_its_edge(folder):
    found = summaries(folder())
    found["one"].loc[found["one"]["method"] == "ml", "mean"] = [-1.0, 1e-5, 2.0]
    axis = figures.figure(STRESS, found).axes[0]
    lines = [line for line in axis.get_lines() if line.get_label() == "ml"]
    assert lines[0].get_ydata().tolist() == [1e-4, 1e-4, 2.0]
    opened = [line for line in axis.get_lines() if line.get_markerfacecolor() == "white"
              and len(line.get_xdata())]  # fmt: skip
    assert [line.get_xdata().tolist() for line in opened] == [[0.1, 1.0]]


def test_a_panel_that_was_not_run_is_named(folder):
    results = folder()
    (results / "panels" / "two" / VALUES).unlink()
    with pytest.raises(InputError, match=r"does not exist; run the panel") as error:
        report.build(STRESS, results)
    assert str(error.value).count("values.parquet") == 1


@pytest.mark.parametrize(
    "path", [("version",), ("panels", "one", "methods", "ml", "control"),
             ("panels", "one", "knob", "values")]
)  # fmt: skip
def test_a_panel_that_was_run_with_other_settings_is_named(path, folder):
    content = STRESS.model_dump(mode="json")
    value = {"version": 4, "control": True, "values": [0.1, 1]}[path[-1]]
    edited = Stress.model_validate(changed(content, *path, to=value))
    with pytest.raises(InputError, match="of other settings than panel one of small has now"):
        report.build(edited, folder())


def test_a_panel_of_an_earlier_version_is_read(folder):
    """It did not record the settings."""
    path = folder() / "panels" / "one" / VALUES
    values().to_parquet(path)
    assert len(report.summary(STRESS, "one", path.parent.parent)) == 12
