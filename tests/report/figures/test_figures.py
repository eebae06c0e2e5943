from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from ebm_bench import registry
from ebm_bench.report import rows
from ebm_bench.report.figures import axes, pictures, saving, style
from ebm_bench.report.figures.cost import _pareto, cost
from ebm_bench.report.figures.curves import curves
from ebm_bench.report.figures.pictures import densities, samples
from ebm_bench.report.page.thumbnails import thumbnails
from ebm_bench.report.rows import drawn_of
from ebm_bench.report.tables import captions


def legend(figure):
    found = figure.legends or [axis.get_legend() for axis in figure.axes]
    return [text.get_text() for text in found[0].get_texts()]


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_densities_have_a_panel_for_each_model_on_one_scale(results):
    figure = densities(results, "plane")
    assert [t.split("\n")[0] for t in titles(figure)] == [
        "control: truth", "control: gaussian_fit",
        *(row.label for row in results.rows("plane") if not row.control),
    ]  # fmt: skip
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 7
    assert len({image.get_clim() for image in images}) == 1
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("$x_1$", "$x_2$")
    assert "density" in figure.axes[-1].get_ylabel()


def test_a_picture_states_that_its_value_is_a_bound(results, monkeypatch):
    estimate = type(results).estimate
    floor = lambda *arguments: replace(estimate(*arguments), at_floor=1)  # noqa: E731
    monkeypatch.setattr(type(results), "estimate", floor)
    assert all("≤ " in title for title in titles(densities(results, "plane")))


def test_a_density_is_drawn_the_right_way_up(results, folder):
    path = folder / "runs" / "plane" / "winner" / "pictures.npz"
    density = np.zeros((256, 256), np.float32)
    density[255, 0] = 1.0  # y at its largest, x at its smallest
    np.savez(path, **{"energy.density": density, "box": np.array([-4, 4, -2, 2])})
    figure = densities(results, "plane")
    axis = next(a for a in figure.axes if a.get_title().startswith("winner"))
    assert axis.images[0].origin == "lower"
    assert axis.images[0].get_extent() == [-4, 4, -2, 2]


def test_divergence_is_noted_in_the_panel(results):
    shown = [t.replace("\n", " ") for t in titles(densities(results, "plane"))]
    assert any("unlucky" in t and "2 of 6 diverged at step 120" in t for t in shown)


def test_what_did_not_converge_is_noted_in_figures(add_part):
    results = add_part("plane", "winner", "kl", "converged", lambda r: 0.0)
    noted = [t for t in titles(densities(results, "plane")) if "not converged" in t]
    assert [t.split("\n")[0] for t in noted] == ["winner"]
    assert "winner, not converged" in legend(cost(results, "plane"))


def test_an_interval_below_zero_keeps_the_axis_logarithmic(change, monkeypatch):
    found = registry.entries("metrics")
    linear = {"metrics": {**found, "kl": replace(found["kl"], scale="linear")}}
    others = registry.entries
    monkeypatch.setattr(registry, "entries", lambda family: linear.get(family) or others(family))

    def scatter(record):
        for value in record["values"]:
            value["value"] = 4.0 if value["metric"] == "kl" and value["replicate"] == 0 else 0.01

    results = change("plane", "winner", "evaluation.json", scatter)
    row = next(r for r in results.rows("plane") if r.method == "winner")
    assert results.estimate("plane", row, "kl").low < 0
    assert cost(results, "plane").axes[0].get_yscale() == "log"


def test_samples_stand_beside_data(results):
    figure = samples(results, "pixels")
    assert titles(figure)[0] == "data"
    assert len([axis for axis in figure.axes if axis.images]) == 8
    side = pictures.TILES * (16 + 1)  # pixels and a gap
    assert figure.axes[0].images[0].get_array().shape == (side, side, 3)


@pytest.mark.parametrize("kind", ["densities", "samples"])
def test_a_missing_picture_keeps_its_panel(results, folder, kind):
    dataset = {"densities": "plane", "samples": "pixels"}[kind]
    (folder / "runs" / dataset / "winner" / "pictures.npz").unlink()
    figure = getattr(pictures, kind)(results, dataset)
    axis = next(a for a in figure.axes if a.get_title().startswith("winner"))
    assert not axis.images
    assert axis.texts[0].get_text().startswith("no ")


def test_cost_shows_every_model_with_units(results):
    figure = cost(results, "plane")
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel().endswith("[s]")
    assert axis.get_ylabel() == "KL [nats], lower is better"
    told = legend(figure)
    assert {"winner", "equal", "slow_100", "slow_100 (flow)"} <= set(told)
    assert "unlucky: 2 of 6 diverged at step 120" in told
    assert told[-1] == "Pareto front"


def test_pareto_front_keeps_what_no_cheaper_model_beats():
    points = [(1.0, 5.0), (2.0, 6.0), (3.0, 1.0), (3.0, 2.0), (9.0, 0.5)]
    assert _pareto(points, higher_is_better=False) == [(1, 5), (3, 1), (9, 0.5)]
    assert _pareto(points, higher_is_better=True) == [(1, 5), (2, 6)]


def test_curves_stand_against_steps_and_seconds(results):
    figure = curves(results, "pixels")
    steps, seconds = figure.axes
    assert steps.get_xlabel() == "optimiser steps"
    assert seconds.get_xlabel().endswith("[s]")
    assert steps.get_ylabel() == "Hyvärinen score [nats], lower is better"
    assert (steps.get_xscale(), seconds.get_xscale()) == ("log", "log")
    assert any(t.startswith("unlucky: 2 of 6 diverged") for t in legend(figure))
    crosses = [line for line in steps.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in crosses] == [2]  # both replicates, at one place
    assert set(crosses[0].get_xdata()) == {100}


def test_curves_of_a_failed_replicate_end_with_it(results):
    curve = results.curves["plane", "unlucky"]
    late = np.isnan(curve.values[:, curve.steps > 120])
    assert late.any()
    assert late.all(axis=1).tolist() == [False, True, False, False, True, False]
    assert not late[[0, 2, 3, 5]].any()


def test_figures_of_a_suite_without_any_run(results, folder):
    empty = type(results)(results.suite, folder / "nowhere", {}, results.values.iloc[:0], {})
    for dataset in ("plane", "pixels"):
        for kind in (cost, curves):
            figure = kind(empty, dataset)
            figure.draw_without_rendering()
            assert "winner: not run" in legend(figure)
    for figure in (densities(empty, "plane"), samples(empty, "pixels")):
        assert "without pictures" in figure.texts[0].get_text()


def test_looks_are_distinct_and_the_same_everywhere(results):
    looks = {row.label: style.look(results.suite, row) for row in results.rows("plane")}
    elsewhere = {row.label: style.look(results.suite, row) for row in results.rows("pixels")}
    assert looks == elsewhere
    assert len(set(looks.values())) == len(looks)
    assert looks["slow_100"].colour == looks["slow_100 (flow)"].colour
    assert {looks[name].colour for name in ("truth", "gaussian_fit")} == {style.GRAY}


def test_axis_leaves_a_catastrophe_outside_and_says_so():
    axis = Figure().add_subplot()
    axes.fit_axis(axis, [0.02, 0.03, 0.05, 0.2, 1e12, np.inf], higher_is_better=False, frame=[0.5])
    assert axis.get_yscale() == "log"
    low, high = axis.get_ylim()
    assert low < 0.02 < 0.5 < high < 10
    assert axes.whereabouts(axis, 0.1) == ""
    assert axes.whereabouts(axis, 1e12) == " (1.00e12, above the axis)"


def test_axis_keeps_the_best_values():
    axis = Figure().add_subplot()
    axes.fit_axis(axis, [2.0, 2.0, 2.1, 2.0, 1.9, 0.01], higher_is_better=False)
    assert axis.get_ylim()[0] < 0.01


def test_axis_without_values():
    axis = Figure().add_subplot()
    axes.fit_axis(axis, [np.nan], higher_is_better=True)
    assert axis.get_ylim() == (0.0, 1.0)


def test_saving_leaves_all_formats_and_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        with mpl.rc_context(style.RC):
            figure = Figure(figsize=(1, 1))
            figure.add_subplot().plot([1, 2])
            saving.save(figure, [tmp_path / f"{name}.{kind}" for kind in ("png", "pdf", "svg")])
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    for kind in ("png", "pdf", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("kind", ["densities", "samples"])
def test_records_without_pictures_say_so_in_their_place(results, folder, kind):
    dataset = {"densities": "plane", "samples": "pixels"}[kind]
    for path in folder.glob(f"runs/{dataset}/*/pictures.npz"):
        path.unlink()
    figure = getattr(pictures, kind)(results, dataset)
    assert not figure.axes
    assert figure.texts[0].get_text().startswith(f"no {kind}")


def test_of_many_models_the_best_are_drawn_and_the_figure_says_so(results, monkeypatch):
    assert not drawn_of(results.rows("plane"))
    monkeypatch.setattr(rows, "DRAWN", 2)
    best = [row.label for row in results.rows("plane")[:2]]
    controls = ["control: truth", "control: gaussian_fit"]
    told = "the best 2 of 5 models"
    figure = cost(results, "plane")
    assert [t.split(" (")[0] for t in legend(figure)] == [*best, *controls, "Pareto front"]
    assert titles(figure) == [f"plane: quality against cost of {told}"]
    figure = curves(results, "plane")
    assert {t.split(" (")[0] for t in legend(figure)} == {*best, *controls}
    assert f"learning curves of {told} (" in figure.get_suptitle()
    figure = densities(results, "plane")
    assert [t.split("\n")[0] for t in titles(figure)] == [*controls, *best]
    assert figure.get_suptitle() == f"Controls, and {told} by rank"
    assert len(titles(samples(results, "pixels"))) == 1 + 2 + 2
    assert f"Shown: {told}. " in captions.figure_caption(results, "cost", ["plane", "pixels"])
    assert "Shown" not in captions.figure_caption(results, "critical difference", ["plane"])


def test_thumbnails_show_models_that_figures_leave_out(results, monkeypatch):
    whole = thumbnails(results, "plane")
    monkeypatch.setattr(rows, "DRAWN", 2)
    assert thumbnails(results, "plane") == whole
