"""What a record says is what was run: settings, steps and seconds belong to it."""

import json

import numpy as np
import pytest
import torch
import yaml
from factories.interruption import killed_before
from typer.testing import CliRunner

import ebm_bench
from ebm_bench import records
from ebm_bench.cli import app
from ebm_bench.errors import InputError
from ebm_bench.records import collection, fingerprint, merging
from ebm_bench.runs import evaluation, training, tuning
from ebm_bench.studies.estimation import suite as estimation
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import suite

pytestmark = pytest.mark.usefixtures("no_plugins")

SUITE = {
    "name": "small",
    "version": 1,
    "datasets": {
        "eight_gaussians": {
            "energy": {"name": "mlp", "settings": {"width": 8}},
            "replicates": 2,
            "budget": {"steps": 6, "batch_size": 16, "fit_samples": 100},
            "sampler": {"name": "langevin", "settings": {"steps": 2}},
            "metrics": {"hyvarinen_score": {}},
            "rank_by": "hyvarinen_score",
            "curve": "hyvarinen_score",
            "curve_points": 2,
            "compute": "eager",
        }
    },
}


def write(folder, methods, plugins=(), compute="eager", **budget):
    """Write a suite with its plugins; text of settings stays as it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads(json.dumps(SUITE))
    data = content["datasets"]["eight_gaussians"]
    data["compute"] = compute
    data["budget"] |= budget
    for name, code in dict(plugins).items():
        (folder / f"{name}.py").write_text(code)
    content |= {"methods": methods, "plugins": [f"{name}.py" for name in dict(plugins)]}
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def train(path, method, out=None):
    """Train in this process, and read the record."""
    out = out or path.parent / "out"
    training.train(suite.load(path), "eight_gaussians", [method], out)
    return records.read(records.Run, out / "eight_gaussians" / method / "run.json")


def train_by_command(path, method):
    """Train in a process of its own."""
    out = path.parent / "out"
    result = CliRunner().invoke(
        app, ["train", "--suite", str(path), "--dataset", "eight_gaussians", "--method", method,
              "--out", str(out), "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return records.read(records.Run, out / "eight_gaussians" / method / "run.json")


# --- settings are normalised by their annotations -------------------------------------------

DSM, NCE = "denoising_score_matching", "noise_contrastive"
SLICED, CD = "sliced_score_matching", "contrastive_divergence"
FLOW = {"noise": "flow"}


def method(objective, **settings):
    return {"objective": objective, "settings": settings}


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
        found.append(stress.Stress.model_validate(content).slices("p"))
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
        found.append(estimation.EstimationSuite.model_validate(content).slice("g", "nce"))
    assert len(set(found)) == 1


# --- the loss knows the progress of training ---------------------------------------------------

PROGRESS = '''
from dataclasses import dataclass

import torch

from ebm_bench.derivatives import gradient
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register


def note(progress):
    """Keep it in a file, which is no state of the process."""
    if not torch.compiler.is_compiling():
        with open(__file__ + ".seen", "a") as file:
            print(float(progress), file=file)


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Annealed(Objective):
    """Denoising score matching with a noise level that shrinks."""

    requires = ("smooth",)

    def loss(self, energy, x, streams, {parameter}):
        """Loss (R,)."""
        {line}
        noise = streams.normal_like(x)
        residual = sigma * gradient(energy, x + sigma * noise) - noise
        return 0.5 * residual.square().sum(2).mean(1)
'''


def annealed(line="sigma = 0.5 * 0.1**progress", parameter="progress"):
    return PROGRESS.format(line=line, parameter=parameter)


SEES = "note(progress); sigma = 0.5 * 0.1**progress"


def seen_in(folder):
    """Different values, as contracts are looked at by more calls than those of the steps."""
    lines = (folder / "annealed.py.seen").read_text().split()
    return list(dict.fromkeys(map(float, lines)))


def weights(parts):
    return torch.cat([p.detach().flatten() for p in parts.energy.parameters()])


def run(path, name="m", checkpoint=None):
    return training.train_method(suite.load(path), "eight_gaussians", name, "cpu", checkpoint)


def test_progress_goes_from_0_to_1(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=4)
    parts, _ = run(path)
    assert seen_in(tmp_path) == [0, 0.25, 0.5, 0.75]
    assert parts.progress == 1


@pytest.mark.parametrize("parameter", ["progress", "progress=None", "*, progress", "progress=1.0"])
def test_progress_is_asked_for_in_the_signature(parameter, tmp_path):
    code = annealed(SEES, parameter)
    run(write(tmp_path, {"m": method("annealed")}, {"annealed": code}, steps=2))
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_a_subclass_inherits_the_progress(tmp_path):
    code = annealed(SEES) + (
        "\n\n@register\n@dataclass(eq=False, kw_only=True, repr=False)\nclass Below(Annealed):\n"
        '    """Another."""\n'
    )
    run(write(tmp_path, {"m": method("below")}, {"annealed": code}, steps=2))
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_a_resumed_run_knows_its_progress(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=8)
    whole, _ = run(path)
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(path, checkpoint=checkpoint)
    (tmp_path / "annealed.py.seen").unlink()
    resumed, _ = run(path, checkpoint=checkpoint)
    seen = seen_in(tmp_path)
    assert 0 < seen[0] < 1
    assert seen == [step / 8 for step in range(8 - len(seen), 8)]
    assert torch.equal(weights(whole), weights(resumed))


def test_a_trial_of_tuning_has_its_own_progress(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=100)
    section = {"datasets": {"eight_gaussians": []}, "trials": 2, "steps": 2}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "tuning": section}))
    chosen = suite.load(path)
    values = chosen.search_of("eight_gaussians", "m").next_round()
    tuning.run_round(chosen, "eight_gaussians", "m", values, "cpu")
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_metrics_measure_the_loss_as_it_is_by_then(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=4)
    content = yaml.safe_load(path.read_text())
    data = content["datasets"]["eight_gaussians"]
    data |= {"metrics": {"hyvarinen_score": {}, "loss_variance": {"batches": 2}},
             "curve": "hyvarinen_score"}  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    train(path, "m")
    (tmp_path / "annealed.py.seen").unlink()
    folder = tmp_path / "out" / "eight_gaussians" / "m"
    evaluation.evaluate(suite.load(path), "eight_gaussians", "m", folder, "cpu")
    assert set(seen_in(tmp_path)) == {1.0}


@pytest.mark.parametrize(
    "line",
    [
        "sigma = 0.5 * 0.1**progress",
        "sigma = torch.where(progress < 0.5, 0.5, 0.1)",
        "sigma = 0.5 if progress < 0.5 else 0.1",
        "sigma = 0.5 * 0.1 ** float(progress)",
        "sigma = 0.5 * 0.1 ** progress.item()",
    ],
)
def test_compiled_steps_have_the_progress_of_each_step(line, tmp_path):
    """What branches on the value is not compiled, rather than compiled with one value."""
    found = []
    for compute in ("eager", "compiled"):
        code = annealed(line)
        path = write(tmp_path, {"m": method("annealed")}, {"annealed": code}, compute, steps=30,
                     learning_rate=0.03)  # fmt: skip
        found.append(weights(run(path)[0]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
