"""Metrics of the objective itself, and the divergence by sampling: known answers."""

import math

import pytest
import torch

from ebm_bench import datasets, energies, metrics, objectives
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


def measure(name, model, **settings):
    return metrics.create(name, **settings)(model, model.dataset, model.streams)


@pytest.mark.parametrize("dimension", [2, 5])
def test_divergence_of_gaussians_by_sampling(dimension, bowl):
    result = measure("sampled_kl_divergence", bowl(dimension, mean=0.5, offset=1.0))
    expected = 0.5 * dimension * 0.25
    assert ((result["value"] - expected).abs() < 4 * result["standard_error"]).all()
    wide = measure("sampled_kl_divergence", bowl(dimension, sd=2.0))
    expected = dimension * (math.log(2) - 0.5 * (1 - 1 / 4))
    assert ((wide["value"] - expected).abs() < 4 * wide["standard_error"]).all()


def quadratic(objective="denoising_score_matching", replicates=3, **settings):
    dataset = datasets.create("gaussian", dimension=2, condition_number=1)
    energy = energies.create("quadratic", event_shape=(2,), replicates=replicates)
    criterion = objectives.create(objective, **settings)
    criterion.build(energy)
    energy.requires_grad_(False)
    return Model(energy, dataset, None, Streams(0, replicates), objective=criterion)


def test_loss_variance_does_not_depend_on_the_size_of_batches():
    model = quadratic("maximum_likelihood", replicates=40)
    # The energy ½‖x‖² of a standard normal point in the plane has the variance 1.
    for size in (2, 50):
        found = measure("loss_variance", model, batches=200, batch_size=size)["value"]
        assert found.mean().item() == pytest.approx(1, rel=0.07)


def test_signal_to_noise_grows_with_the_root_of_the_batch():
    model = quadratic(sigma=1.0, replicates=20)
    small, large = (
        measure("gradient_signal_to_noise", model, batches=200, batch_size=size)["value"].mean()
        for size in (64, 256)
    )
    assert (large / small).item() == pytest.approx(2, rel=0.1)


def test_at_an_optimum_there_is_no_signal():
    model = quadratic("maximum_likelihood", replicates=20)
    found = measure("gradient_signal_to_noise", model, batches=200)["value"]
    assert found.mean() < 0.05
    model.energy.log_diagonal += 1.0
    assert (measure("gradient_signal_to_noise", model, batches=200)["value"] > 5).all()


@pytest.mark.parametrize("name", ["mlp", "flow"])
def test_signal_to_noise_of_a_replicate_alone_equals_itself_among_others(name):
    values = []
    for replicates in ([0, 1, 2], [1]):
        streams = Streams(5, replicates)
        energy = energies.create(
            name, event_shape=(2,), replicates=len(replicates), streams=streams.child("weights")
        )
        objective = objectives.create("noise_contrastive")
        data = datasets.create("two_moons")
        objective.setup(energy, data.sample(200, streams.child("fit")), streams.child("fit"))
        model = Model(energy, data, None, streams, objective=objective)
        found = measure("gradient_signal_to_noise", model, batches=4, batch_size=16)
        values.append(found["value"])
    torch.testing.assert_close(values[0][1:2], values[1], rtol=1e-3, atol=1e-4)


def test_nothing_is_told_of_a_model_without_objective_or_parameters(bowl):
    for name in ("loss_variance", "gradient_signal_to_noise"):
        assert measure(name, bowl()) == {}
    model = bowl()
    model.objective = objectives.create("untrained")
    assert measure("gradient_signal_to_noise", model)["value"].isnan().all()
    assert (measure("loss_variance", model)["value"] > 0).all()


@pytest.mark.parametrize("trained", [False, True])
def test_the_model_is_left_as_it_was(trained):
    model = quadratic("contrastive_divergence", persistent=True, chains=5)
    model.energy.mean.requires_grad_(trained)
    for name in ("loss_variance", "gradient_signal_to_noise"):
        first = measure(name, model, batches=3, batch_size=4)["value"]
        torch.testing.assert_close(measure(name, model, batches=3, batch_size=4)["value"], first)
    assert (model.objective.states == 0).all()
    assert model.energy.mean.requires_grad == trained
    assert not model.energy.log_diagonal.requires_grad
