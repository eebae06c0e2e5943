"""Every registered metric keeps the contract."""

import math

import pytest
import torch

from ebm_bench import energies, metrics, objectives, samplers
from ebm_bench.metrics import features
from ebm_bench.model import Model
from ebm_bench.streams import Streams

PIXELS = [name for name in metrics.names() if "pixels" in metrics.create(name).requires]


@pytest.fixture(autouse=True)
def cheap_features(monkeypatch):
    monkeypatch.setattr(features, "extract", lambda pixels: pixels.flatten(2)[..., :20])
    monkeypatch.setattr(
        "ebm_bench.metrics.ood_auroc._others",
        lambda dataset, n, streams: streams.uniform(n, *dataset.event_shape),
    )


@pytest.fixture(params=metrics.names())
def metric(request):
    quick = {"levels": 20, "points": 100}
    settings = metrics.create(request.param).__dict__.keys() & quick.keys()
    return metrics.create(request.param, **{s: quick[s] for s in settings})


@pytest.fixture
def make(metric, truth_of, images):
    """A network energy on data that offer what the metric asks for."""
    dataset = (images() if metric.name in PIXELS else truth_of("eight_gaussians")).dataset

    def model(replicates):
        whole = energies.create("mlp", event_shape=dataset.event_shape, replicates=3, width=8)
        energy = energies.create(
            "mlp", event_shape=dataset.event_shape, replicates=len(replicates), width=8
        )
        energy.load_state_dict({k: v[replicates] for k, v in whole.state_dict().items()})
        streams = Streams(5, replicates)
        learned = torch.zeros(len(replicates))
        objective = objectives.create("denoising_score_matching")
        return Model(energy, dataset, samplers.create("langevin"), streams, learned, objective)

    return model


def test_gives_one_finite_value_per_replicate(metric, make):
    model = make([0, 1, 2])
    result = metric(model, model.dataset, model.streams)
    assert "value" in result
    for part, values in result.items():
        assert values.shape == (3,), part
        assert values.isfinite().all(), part
        assert not values.requires_grad, part


def test_a_replicate_alone_equals_itself_among_others(metric, make):
    among, alone = make([0, 1, 2]), make([1])
    expected = metric(among, among.dataset, among.streams)
    found = metric(alone, alone.dataset, alone.streams)
    for part, values in found.items():
        torch.testing.assert_close(values, expected[part][1:2], rtol=1e-4, atol=1e-5)


def test_is_the_same_whenever_it_is_asked(metric, make):
    """What was drawn before from the same streams makes no difference."""
    model, other = make([0, 1]), make([0, 1])
    other.streams.normal(10)
    first = metric(model, model.dataset, model.streams)["value"]
    torch.testing.assert_close(metric(other, other.dataset, other.streams)["value"], first)


def test_keeps_what_is_not_finite(metric, make):
    model = make([0, 1])
    with torch.no_grad():
        model.energy.layers[1].weight[1] = math.nan
    result = metric(model, model.dataset, model.streams)["value"]
    assert result[0].isfinite()
    if metric.name not in ("log_z_error",):
        assert result[1].isnan()


def test_says_what_it_is(metric):
    assert metric.label
    assert isinstance(metric.version, int)
