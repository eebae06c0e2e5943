import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories.suites import describe, toy

from ebm_bench import energies, records, samplers
from ebm_bench.errors import InputError
from ebm_bench.metrics import features
from ebm_bench.runs import assembly, evaluation, training
from ebm_bench.streams import Streams
from ebm_bench.suites.suite import check
from ebm_bench.utils.files import replacing


def make_suite(name, metrics, energy="mlp", replicates=2):
    data = toy(
        5,
        energy={"name": energy},
        replicates=replicates,
        metrics=metrics,
        rank_by=next(iter(metrics)),
    )
    fce = {"noise_settings": {"steps": 3}, "flow_rate": 1.0}
    methods = {
        "fce": {"objective": "flow_contrastive", "settings": fce},
        "nce": {"objective": "noise_contrastive"},
        "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}},
    }
    return check(describe(methods, {name: data}, "test"), "test")


METRICS = {
    "kl_divergence": {},
    "negative_log_likelihood": {"points": 200},
    "log_z_error": {},
    "hyvarinen_score": {"points": 50},
}
OF_LEVELS = {"level_fisher_divergence": {"points": 20}}


def read(folder):
    with np.load(folder / "pictures.npz") as stored:
        pictures = dict(stored)
    return records.read(records.Evaluation, folder / "evaluation.json"), pictures


def mark(record, folder, *statuses):
    """Rewrite how the replicates of a run ended."""
    outcomes = [
        records.Outcome(replicate=r, status=status, step=5) for r, status in enumerate(statuses)
    ]
    records.write(record.model_copy(update={"outcomes": outcomes}), folder / "run.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    suite, out = make_suite("eight_gaussians", METRICS | OF_LEVELS), tmp_path_factory.mktemp("runs")
    training.train(suite, "eight_gaussians", ["fce", "nce", "gaussian"], out)
    return suite, out / "eight_gaussians"


@pytest.fixture
def evaluate(trained):
    suite, out = trained
    return lambda method: evaluation.evaluate(suite, "eight_gaussians", method, out / method, "cpu")


def values_of(record, metric, model="energy"):
    return [v.value for v in record.values if (v.metric, v.model) == (metric, model)]


def test_measures_the_energy_and_its_byproducts(evaluate, trained, caplog):
    with caplog.at_level(logging.INFO, logger="ebm_bench"):
        returned = evaluate("fce")
    record, pictures = read(trained[1] / "fce")
    assert record.model_dump_json() == returned.model_dump_json()
    for model in ("energy", "flow"):
        assert len(values_of(record, "kl_divergence", model)) == 2
        assert all(math.isfinite(v) for v in values_of(record, "kl_divergence", model))
        density = pictures[f"{model}.density"]
        assert density.shape == (256, 256)
        assert density.dtype == np.float32
        assert density.sum() * (9.6 / 256) ** 2 == pytest.approx(1, abs=0.05)
    assert values_of(record, "log_z_error", "flow") == []
    assert values_of(record, "level_fisher_divergence", "energy") == []  # it has no levels
    np.testing.assert_allclose(pictures["box"], [-4.8, 4.8, -4.8, 4.8], rtol=1e-6)
    assert {v.metric for v in record.values if v.metric.startswith("neg")} == {
        "negative_log_likelihood",
        "negative_log_likelihood.gap",
        "negative_log_likelihood.converged",
    }
    errors = {v.metric for v in record.values if v.standard_error is not None}
    assert "negative_log_likelihood" in errors
    assert not any("." in name for name in errors)
    assert any("kl_divergence of flow" in message for message in caplog.messages)


def test_rows_of_the_density_go_up(trained):
    suite, out = trained
    record = records.read(records.Run, out / "gaussian" / "run.json")
    parts = assembly.restore(suite, "eight_gaussians", "gaussian", out / "gaussian", "cpu")
    parts.energy.mean.data[:] = torch.tensor([-3.0, 3.0])
    with replacing(out / "gaussian" / "weights.safetensors") as temporary:
        import safetensors.torch

        safetensors.torch.save_file(parts.state_dict(), temporary)
    evaluation.evaluate(suite, "eight_gaussians", "gaussian", out / "gaussian", "cpu")
    density = read(out / "gaussian")[1]["energy.density"]
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert row > 200
    assert column < 56
    assert record.outcomes[0].status == "ok"


def test_all_methods_meet_the_same_data(evaluate, trained, monkeypatch):
    """A method does not change what another one is measured on."""
    seen = []
    sample = type(evaluation_dataset(trained)).sample

    def spy(self, n, streams, split="train"):
        x = sample(self, n, streams, split)
        seen.append(x)
        return x

    monkeypatch.setattr(type(evaluation_dataset(trained)), "sample", spy)
    evaluate("nce")
    first, seen[:] = list(seen), []
    evaluate("gaussian")
    assert torch.equal(first[0], seen[0])


def evaluation_dataset(trained):
    suite, out = trained
    return assembly.restore(suite, "eight_gaussians", "nce", out / "nce", "cpu").dataset


@pytest.mark.parametrize(
    ("statuses", "measured"),
    [
        (("diverged", "ok"), [False, True]),
        (("timeout", "out_of_memory"), [True, False]),
        (("ok", "flow_escaped"), [True, False]),
        (("diverged", "diverged"), [False, False]),
    ],
)
def test_replicates_without_a_model_have_no_value(statuses, measured, evaluate, trained):
    folder = trained[1] / "nce"
    whole = records.read(records.Run, folder / "run.json")
    mark(whole, folder, *statuses)
    try:
        evaluate("nce")
    finally:
        records.write(whole, folder / "run.json")
    record, pictures = read(folder)
    for metric in METRICS:
        assert [v is not None for v in values_of(record, metric)] == measured
    assert ("energy.density" in pictures) == any(measured)


def test_values_that_are_not_finite_stay_so(evaluate, trained, monkeypatch):
    restore = assembly.restore

    def broken(*arguments):
        parts = restore(*arguments)
        parts.energy.layers[1].weight.data[1] = math.nan
        return parts

    monkeypatch.setattr(assembly, "restore", broken)
    evaluate("nce")
    record, _ = read(trained[1] / "nce")
    first, second = values_of(record, "kl_divergence")
    assert math.isfinite(first)
    assert math.isnan(second)


def test_a_folder_without_a_run_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match=r"run\.json"):
        evaluation.evaluate(trained[0], "eight_gaussians", "nce", tmp_path, "cpu")


class Pixels:
    """Images whose logits are standard normal."""

    name, kind, knows, lam, event_shape = "mnist", "image", ("pixels",), 0.0, (1, 8, 8)

    def sample(self, n, streams, split="train"):
        return streams.normal(n, *self.event_shape)

    def to_pixels(self, y):
        return torch.sigmoid(y)

    def log_det(self, y):
        return y.sum((-3, -2, -1))


def test_pictures_of_images(tmp_path, monkeypatch):
    metrics = {"kernel_distance_efficientnet": {"points": 70}}
    suite = make_suite("mnist", metrics, energy="quadratic")
    energy = energies.create("quadratic", event_shape=(1, 8, 8), replicates=2)
    parts = assembly.Parts(
        dataset=Pixels(),
        energy=energy,
        objective=SimpleNamespace(log_z=None, byproducts={"flow": energy}),
        sampler=samplers.create("langevin"),
        streams=Streams(0, 2),
        budget=suite.budget_of("mnist", "nce"),
        outcomes=[
            records.Outcome(replicate=r, status=status, step=5)
            for r, status in enumerate(("diverged", "ok"))
        ],
        fresh_energy=lambda: energy,
    )
    monkeypatch.setattr(assembly, "restore", lambda *_: parts)
    monkeypatch.setattr(features, "extract", lambda pixels: pixels.flatten(2))
    evaluation.evaluate(suite, "mnist", "nce", tmp_path, "cpu")
    record, pictures = read(tmp_path)
    assert set(pictures) == {"energy.samples", "flow.samples", "data.samples"}
    for images in pictures.values():
        assert images.shape == (64, 1, 8, 8)
        assert images.dtype == np.uint8
        assert 100 < images.mean() < 155
    assert values_of(record, "kernel_distance_efficientnet")[0] is None
    drawn = energy.sample(70, Streams(0, 2, scope=("evaluation", "samples")))[1, :64]
    expected = (torch.sigmoid(drawn) * 255).round().byte().numpy()
    np.testing.assert_array_equal(pictures["energy.samples"], expected)


def test_the_share_of_mass_far_from_the_data_is_recorded(evaluate, trained, monkeypatch):
    shares = torch.tensor([math.nan, 0.25], dtype=torch.float64)
    monkeypatch.setattr(evaluation.escapes, "outside", lambda model: shares)
    evaluate("nce")
    record, _ = read(trained[1] / "nce")
    assert {(v.replicate, v.outside) for v in record.values} == {(0, None), (1, 0.25)}


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
@pytest.mark.parametrize("part", ["mass", "pictures"])
def test_what_there_is_no_memory_for_is_left_out(part, error, evaluate, monkeypatch, caplog):
    def fail(*arguments):
        raise error

    owner, name = {
        "mass": (evaluation.escapes, "outside"),
        "pictures": (evaluation, "_density"),
    }[part]
    monkeypatch.setattr(owner, name, fail)
    record = evaluate("nce")
    assert all(math.isfinite(v) for v in values_of(record, "kl_divergence"))
    assert all((v.outside is None) == (part == "mass") for v in record.values)
    assert part in caplog.text
    monkeypatch.setattr(owner, name, lambda *arguments: torch.zeros(2, 3) @ torch.zeros(2, 3))
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate("nce")
