"""What a record says is what was run: equal settings are one, however they are written."""

import json

import numpy as np
import pytest
import yaml
from factories.written import SUITE, method, train, write
from typer.testing import CliRunner

import ebm_bench
from ebm_bench import records
from ebm_bench.cli import app
from ebm_bench.errors import InputError
from ebm_bench.records import collection, fingerprint, merging
from ebm_bench.studies.estimation import suite as estimation
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import suite

pytestmark = pytest.mark.usefixtures("no_plugins")


def train_by_command(path, method):
    """Train in a process of its own."""
    out = path.parent / "out"
    result = CliRunner().invoke(
        app, ["train", "--suite", str(path), "--dataset", "eight_gaussians", "--method", method,
              "--out", str(out), "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return records.read(records.Run, out / "eight_gaussians" / method / "run.json")


DSM, NCE = "denoising_score_matching", "noise_contrastive"
SLICED, CD = "sliced_score_matching", "contrastive_divergence"
FLOW = {"noise": "flow"}


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (method(DSM, sigma="2e-1"), method(DSM, sigma=0.2)),
        (method(DSM, sigma="0.2"), method(DSM, sigma=0.2)),
        (method(DSM, sigma=1), method(DSM, sigma=1.0)),
        (method(DSM, sigma=np.float64(0.2)), method(DSM, sigma=0.2)),
        (method(DSM, sigma=np.array(0.2)), method(DSM, sigma=0.2)),
        (method(SLICED, variance_reduced=0), method(SLICED, variance_reduced=False)),
        (method(CD, steps=2.0), method(CD, steps=2)),
        (method(CD, steps="2"), method(CD, steps=2)),
        (method(CD, steps=np.int64(2), persistent=1), method(CD, steps=2, persistent=True)),
        (
            method(NCE, ratio=2.0, noise_settings={"steps": "3"}, **FLOW),
            method(NCE, ratio=2, noise_settings={"steps": 3}, **FLOW),
        ),
        (
            method(NCE, noise_settings={"steps": np.int32(3)}, **FLOW),
            method(NCE, noise_settings={"steps": 3}, **FLOW),
        ),
        (
            {**method(DSM), "overrides": {"eight_gaussians": {"sigma": "2e-1"}}},
            {**method(DSM), "overrides": {"eight_gaussians": {"sigma": 0.2}}},
        ),
        (
            {**method(NCE, **FLOW),
             "overrides": {"eight_gaussians": {"noise_settings": {"steps": "3"}}}},
            {**method(NCE, **FLOW),
             "overrides": {"eight_gaussians": {"noise_settings": {"steps": 3}}}},
        ),
        (
            {**method(DSM), "energy": {"name": "mlp", "settings": {"width": "64"}}},
            {**method(DSM), "energy": {"name": "mlp", "settings": {"width": 64}}},
        ),
    ],
)  # fmt: skip
def test_equal_settings_are_one(written, normal):
    ours, theirs = (suite.check({**SUITE, "methods": {"m": m}}, "test") for m in (written, normal))
    assert ours == theirs
    assert ours.model_dump_json() == theirs.model_dump_json()
    digests = {fingerprint.of_evaluation(s, "eight_gaussians", "m") for s in (ours, theirs)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("keys", "written", "normal"),
    [
        (("energy", "settings", "width"), 64.0, 64),
        (("sampler", "settings", "steps"), "2", 2),
        (("metrics", "hyvarinen_score", "points"), "50", 50),
        (("settings", "freedom"), "8e0", 8.0),
        (("budget", "learning_rate"), "1e-3", 1e-3),
        (("budget", "steps"), np.int64(6), 6),
        (("replicates",), np.float64(2), 2),
    ],
)
def test_equal_parts_of_a_dataset_are_one(keys, written, normal):
    found = []
    for value in (written, normal):
        content = {**json.loads(json.dumps(SUITE)), "methods": {"m": method(DSM)}}
        node = content["datasets"].pop("eight_gaussians")
        content["datasets"]["student_t"] = node
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
        found.append(suite.check(content, "test"))
    assert found[0] == found[1]
    assert len({fingerprint.of_evaluation(s, "student_t", "m") for s in found}) == 1


PLUGIN = '''
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Gt

from ebm_bench.derivatives import gradient
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Mine(Objective):
    """Weigh points."""

    search = {"scale": (1, 2)}

    scale: Annotated[float, Gt(0)] = 1.0
    levels: tuple[float, ...] = (1.0, 2.0)
    count: int = 1
    quick: bool = False
    weights: dict[str, float] | None = None
    more: Any = None

    def loss(self, energy, x, streams):
        """Loss (R,)."""
        assert isinstance(self.levels, tuple)
        return self.scale * (gradient(energy, x).square().sum(2).mean(1) - energy(x).mean(1))
'''


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ({"scale": "5e-1"}, {"scale": 0.5}),
        ({"levels": (1, "2")}, {"levels": [1.0, 2.0]}),
        ({"levels": np.arange(3)}, {"levels": [0.0, 1.0, 2.0]}),
        ({"count": np.uint8(4), "quick": "true"}, {"count": 4, "quick": True}),
        ({"weights": {"a": "1e-2", "b": 1}}, {"weights": {"b": 1.0, "a": 0.01}}),
        ({"more": (np.float64(0.5), {"a": np.int8(1)})}, {"more": [0.5, {"a": 1}]}),
    ],
)
def test_equal_settings_of_a_plugin_are_one(written, normal, tmp_path):
    loaded = suite.load(write(tmp_path, {"m": method("mine")}, {"mine": PLUGIN})).model_dump()
    ours, theirs = (
        suite.check({**loaded, "methods": {"m": method("mine", **given)}}, "test")
        for given in (written, normal)
    )
    canonical = [json.dumps(s.model_dump(), sort_keys=True) for s in (ours, theirs)]
    assert canonical[0] == canonical[1]
    digests = {fingerprint.of_training(s, "eight_gaussians", "m") for s in (ours, theirs)}
    assert len(digests) == 1


def test_a_run_records_normalised_settings(tmp_path):
    methods = {"m": method("mine", scale="5e-1", levels=["1", 2])}
    run = train_by_command(write(tmp_path, methods, {"mine": PLUGIN}), "m")
    assert run.settings == {"scale": 0.5, "levels": [1.0, 2.0]}
    assert isinstance(run.settings["scale"], float)


def test_a_search_has_normalised_values(tmp_path):
    path = write(tmp_path, {"m": method("mine")}, {"mine": PLUGIN})
    tuning = {"datasets": {"eight_gaussians": []}, "trials": 9, "steps": 2}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "tuning": tuning}))
    search = suite.load(path).search_of("eight_gaussians", "m")
    tried = [settings["scale"] for settings in search.settings]
    assert [repr(value) for value in sorted(tried)] == ["1.0", "2.0"]


@pytest.mark.parametrize("given", [64.5, "64.5", "many", None, [64]])
def test_what_would_lose_information_is_refused(given):
    content = {**SUITE, "methods": {"m": method(CD, steps=given)}}
    with pytest.raises(InputError, match="steps"):
        suite.check(content, "test")


@pytest.mark.parametrize("value", ["abc", "0.2 nats", float("nan"), [0.2]])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InputError, match="sigma"):
        suite.check({**SUITE, "methods": {"m": method(DSM, sigma=value)}}, "test")


@pytest.mark.parametrize("sigma", [np.float64(0.5), np.float32(0.5), "5e-1", np.array(0.5)])
def test_fit_takes_numbers_of_numpy(sigma):
    fit = ebm_bench.fit(
        "two_moons", DSM, {"sigma": sigma}, energy_settings={"width": np.int64(8)},
        replicates=np.int64(1), steps=np.int32(2), batch_size=16, device="cpu",
        learning_rate=np.float64(1e-3), seed=np.int64(1),
    )  # fmt: skip
    assert repr(fit.record.settings) == "{'sigma': 0.5}"
    assert repr(fit.record.energy["settings"]) == "{'width': 8}"


def test_records_of_equal_settings_merge(tmp_path):
    """A colleague writes .2, and an older version recorded text as it was."""
    folders = []
    for name, sigma in (("ours", "2e-1"), ("theirs", 0.2), ("older", 0.2)):
        path = write(tmp_path / name, {"m": method(DSM, sigma=sigma)})
        train(path, "m", tmp_path / name / "runs")
        folder = tmp_path / name / "runs/eight_gaussians/m"
        if name == "older":
            content = json.loads((folder / "run.json").read_text())
            content["settings"]["sigma"] = "2e-1"
            (folder / "run.json").write_text(json.dumps(content))
        collection.collect([folder]).write(tmp_path / name / "records")
        folders.append(tmp_path / name)
    assert merging.merge(folders).repeated == 2


def test_equal_panels_of_stress_tests_are_one():
    data = json.loads(json.dumps(SUITE["datasets"]))
    found = []
    for sigma, width in (("2e-1", "8"), (0.2, 8)):
        data["eight_gaussians"]["energy"]["settings"]["width"] = width
        panel = {
            "title": "t",
            "knob": {"label": "steps", "values": [1, 2]},
            "datasets": data,
            "methods": {
                "dsm": method(DSM, sigma=sigma),
                "cd": method(CD, steps="$knob"),
            },
        }
        content = {"kind": "stress", "name": "s", "version": 1, "panels": {"p": panel}}
        found.append(stress.Stress.model_validate(content).settings("p"))
    assert found[0] == found[1]


def test_equal_suites_of_estimation_are_one():
    found = []
    for number, text in ((2, "2"), (2, 2.0), ("2e0", 2)):
        content = {
            "kind": "estimation", "name": "e", "version": 1, "sizes": [10], "ratios": [1],
            "size": 10, "ratio": 1,
            "models": {"g": {
                "dataset": {"name": "gaussian", "settings": {"dimension": text}},
                "energy": {"name": "quadratic"},
            }},
            "methods": {"nce": {
                **method(NCE, noise="gaussian"),
                "overrides": {"g": {"settings": {"ratio": number}}},
            }},
        }  # fmt: skip
        found += estimation.EstimationSuite.model_validate(content).slices("g", "nce")
    assert len(set(found)) == 1
