"""What the page holds: packed files, lightened figures, small pictures, tuned settings."""

import base64
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records.collection import MEASURED
from ebm_bench.report.page import details, embedding, thumbnails
from ebm_bench.report.results import Results
from ebm_bench.suites.base import Named
from ebm_bench.suites.suite import load

ROOT = Path(__file__).parents[3]


def picture(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_what_is_packed_comes_out_again():
    packed = embedding.pack_json({"title": "</script> ≈", "x": [1, None]})
    assert "<" not in packed
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == {
        "title": "</script> ≈", "x": [1, None],
    }  # fmt: skip


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="Out of range"):
        embedding.pack_json([float("nan")])


@pytest.mark.parametrize("name", embedding.LIBRARIES)
def test_libraries_are_whole(name):
    assert len(gzip.decompress(base64.b64decode(embedding.library(name)))) > 50_000


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(embedding.LIBRARIES, "plots", ("plotly", "nowhere.js"))
    with pytest.raises(InputError, match=r"nowhere\.js of the package plotly"):
        embedding.library("plots")


def test_pictures_in_a_figure_are_lightened_and_stay_the_same():
    x, y = np.meshgrid(*[np.arange(200)] * 2)
    pixels = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 5, pixels.shape, dtype=np.uint8)
    svg = f'<svg><image href="{embedding.uri(pixels // 2 + noise, "png")}"/><text>a</text></svg>'
    light = embedding.lighten(svg)
    assert len(light) < len(svg) / 2
    assert light.endswith('"/><text>a</text></svg>')
    found = picture(light.split('"')[1])
    assert np.abs(found.astype(int) - (pixels // 2 + noise)).mean() < 4


def test_a_small_density_is_the_right_way_up(results, folder):
    density = np.full((256, 256), 0.1, np.float32)
    density[200:, :50] = 1.0  # y large, x small: above, left
    path = folder / "runs" / "plane" / "winner" / "pictures.npz"
    np.savez(path, **{"energy.density": density, "box": np.array([-4.0, 4.0, -4.0, 4.0])})
    found = picture(thumbnails.thumbnails(results, "plane")["winner"]).astype(int)
    assert found.shape == (128, 128, 3)
    assert found[10, 10].sum() < found[10, 118].sum() - 100  # dark is dense
    assert found[10, 10].sum() < found[118, 10].sum() - 100


def test_small_samples_are_tiles_in_order(results, folder):
    images = np.zeros((64, 1, 16, 16), np.uint8)
    images[1] = 255  # the second of the first line
    path = folder / "runs" / "pixels" / "winner" / "pictures.npz"
    np.savez(path, **{"energy.samples": images})
    found = picture(thumbnails.thumbnails(results, "pixels")["winner"])
    assert found.shape[:2] == (6 * 17, 6 * 17)
    assert found[5, 17 + 5].mean() > 200
    assert found[17 + 5, 5].mean() < 50


def test_tuned_settings_say_where_they_were_tuned(tmp_path):
    suite = load(ROOT / "benchmarks" / "toy.yaml")
    where, other, *_ = suite.datasets
    found = suite.tuned.datasets[where].model_copy(update={"serves": [other]})
    found.methods["ssm"] = found.methods["ssm"].model_copy(update={"edge": ["learning_rate"]})
    changed = {"datasets": {where: found}, "steps": None, "suite_version": suite.version}
    tuned = suite.tuned.model_copy(update=changed)
    suite = suite.model_copy(update={"tuned": tuned})
    empty = Results(suite, tmp_path, {}, pd.DataFrame(columns=MEASURED), {})
    told = details.methods(empty, "toy.yaml")
    best = found.methods["ssm"].best
    place = told["ssm"]["places"][other]
    assert f"{suite.datasets[where].budget.steps} steps" in place["tuned"]
    assert "Best at an end of what was tried: learning rate." in place["tuned"]
    assert f"Tuned on {where}, which stands for this dataset: the best of" in place["tuned"]
    # Where that dataset is not shown, its steps are known only if the tuning states them.
    few = suite.model_copy(update={"datasets": {other: suite.datasets[other]}})
    for steps, text in ((None, "trials of"), (300, "trials of 300 steps and")):
        stated = tuned.model_copy(update={"steps": steps})
        shown = Results(few.model_copy(update={"tuned": stated}), tmp_path, {}, empty.values, {})
        alone = details.methods(shown, "toy.yaml")["ssm"]["places"][other]
        assert f"{text} {tuned.replicates} replicates by" in alone["tuned"]
    # A suite that extends another has its tuned values, and steps of its own; so has a later one.
    trials = f"the best of {tuned.trials} trials of {tuned.replicates} replicates by"
    for update, source in (
        ({"name": "larger"}, "suite toy"),
        ({"version": suite.version + 1}, f"version {suite.version} of the suite"),
    ):
        larger = Results(suite.model_copy(update=update), tmp_path, {}, empty.values, {})
        told_there = details.methods(larger, "larger.yaml")["ssm"]["places"][where]["tuned"]
        assert told_there.startswith(f"Tuned on {where} of {source}: {trials}")
    # The network or the batch may have changed since.
    data = suite.datasets[where]
    for update, words in (
        ({"energy": data.energy, "batch_size": data.budget.batch_size}, ""),
        (
            {"energy": Named(name="quadratic"), "batch_size": 7},
            " with another energy and batch size",
        ),
    ):
        on = {"ssm": found.methods["ssm"].model_copy(update=update)}
        there = found.model_copy(update={"methods": on})
        traced = tuned.model_copy(update={"datasets": {where: there}})
        of_others = suite.model_copy(update={"tuned": traced})
        shown = Results(of_others, tmp_path, {}, empty.values, {})
        said = details.methods(shown, "toy.yaml")["ssm"]["places"][where]["tuned"]
        assert said.startswith(f"Tuned on {where}{words}: the best of")
    assert ["learning rate", f"{best.learning_rate:g}", "tuned"] in place["settings"]
    origins = {name: by for name, _, by in place["settings"]}
    assert origins["variance_reduced"] == "suite"
    assert {origins[name] for name in best.settings} == {"tuned"}
    assert "which stands" not in told["ssm"]["places"][where]["tuned"]
    assert told["truth"]["places"][where]["tuned"] == ""
    assert told["ssm"]["family"] == "score matching"
    assert any("``" in text for text in told["ssm"]["prose"])
    words, (number, address) = told["ssm"]["references"][:2]
    assert "UAI 2019" in words[0]
    assert address == f"https://arxiv.org/abs/{number.removeprefix('arXiv:')}"
    assert told["ssm"]["code"] == "ebm_bench/objectives/sliced_score_matching.py"
    assert "tests/objectives/test_oracles.py" in told["ssm"]["oracles"]
    assert all(method["oracles"] for method in told.values())
    assert "tests/objectives/test_contract.py" not in told["ssm"]["oracles"]


def test_papers_are_linked():
    text = "A, 2013, doi:10.1016/j.x(2).018. B, arXiv:2406.19807: C, https://d.org/v13/e12a.html. F"
    assert details.linked(text) == [
        ["A, 2013, ", ""],
        ["doi:10.1016/j.x(2).018", "https://doi.org/10.1016/j.x(2).018"],
        [". B, ", ""],
        ["arXiv:2406.19807", "https://arxiv.org/abs/2406.19807"],
        [": C, ", ""],
        ["https://d.org/v13/e12a.html", "https://d.org/v13/e12a.html"],
        [". F", ""],
    ]
    assert details.linked("") == []


def test_every_objective_that_trains_leads_to_its_paper():
    for name, entry in registry.entries("objectives").items():
        parts = details.linked(entry.sections.get("References", ""))
        assert any(address for _, address in parts) or not entry.trains, name
