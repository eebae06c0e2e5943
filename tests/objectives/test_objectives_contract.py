"""Every registered objective keeps the contract, and points the right way."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

# What makes a test quick; nothing that changes what is tested.
SETTINGS = {
    "contrastive_divergence": {"steps": 20, "step_size": 0.3, "chains": 4000},
    "flow_contrastive": {"noise_settings": {"steps": 5}},
}
VARIANTS = [(name, SETTINGS.get(name, {})) for name in objectives.names()] + [
    ("sliced_score_matching", {"variance_reduced": False, "projections": 2}),
    ("sliced_score_matching", {"projection": "rademacher"}),
    ("denoising_score_matching", {"sigma": 0.3}),
    ("noise_contrastive", {"noise": "uniform", "ratio": 2}),
    ("noise_contrastive", {"noise": "gaussian_mixture", "ratio": 0.5}),
    ("contrastive_divergence", {**SETTINGS["contrastive_divergence"], "persistent": True}),
]
TRAINED = [v for v in VARIANTS if objectives.create(v[0]).trains]
# Samples of the model are held constant in the gradient, by definition.
SAMPLE_FREE = [v for v in TRAINED if not objectives.create(v[0]).samples_model]


def ids(variants):
    return [f"{name}-{'-'.join(map(str, settings.values()))}" for name, settings in variants]


@pytest.fixture(params=VARIANTS, ids=ids(VARIANTS))
def variant(request):
    return request.param


def gaussian_energy(precision, replicates):
    """Isotropic Gaussian energy ½ a ‖x‖²."""
    energy = energies.create("quadratic", event_shape=(2,), replicates=replicates).double()
    torch.nn.init.constant_(energy.log_diagonal, 0.5 * math.log(precision))
    return energy


def prepare(variant, energy, replicates, n=4000):
    """An objective set up on standard normal data, and a batch of these."""
    name, settings = variant
    streams = Streams(7, replicates)
    data = streams.child("data").normal(n, 2, dtype=torch.float64)
    objective = objectives.create(name, **settings)
    objective.setup(energy, data, streams.child("fit"))
    return objective, data, streams.child("objective")


@pytest.mark.parametrize("variant", TRAINED, ids=ids(TRAINED))
def test_pushes_the_precision_towards_the_truth(variant):
    """The sign test: a wrong sign trains an inverted energy, and converges."""
    for precision, sign in ((0.4, -1), (2.5, 1)):
        energy = gaussian_energy(precision, replicates=2)
        objective, data, streams = prepare(variant, energy, 2)
        objective.loss(energy, data, streams).sum().backward()
        slope = energy.log_diagonal.grad
        assert (slope.sign() == sign).all(), (precision, slope)


def network(replicates):
    streams = Streams(3, replicates)
    return energies.create(
        "mlp", event_shape=(2,), replicates=streams.replicates, streams=streams, width=8
    ).double()


def energy_for(variant, replicates):
    needs_log_z = "log_z" in objectives.create(variant[0]).requires
    count = Streams(0, replicates).replicates
    return gaussian_energy(1.3, count) if needs_log_z else network(replicates)


def test_shape_and_dtype(variant):
    energy = energy_for(variant, 3)
    objective, data, streams = prepare(variant, energy, 3, n=64)
    loss = objective.loss(energy, data, streams)
    assert loss.shape == (3,)
    assert loss.dtype == torch.float64
    assert torch.isfinite(loss).all()


def test_replicate_alone_equals_replicate_among_others(variant):
    grads = []
    for replicates, row in (((0, 1, 2), 1), ((1,), 0)):
        energy = energy_for(variant, replicates)
        objective, data, streams = prepare(variant, energy, replicates, n=64)
        loss = objective.loss(energy, data, streams)
        loss.sum().backward()
        first = next(p.grad for p in energy.parameters() if p.grad.abs().sum() > 0)
        grads.append((loss[row].detach(), first[row]))
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("variant", SAMPLE_FREE, ids=ids(SAMPLE_FREE))
def test_gradient_is_that_of_finite_differences(variant):
    energy = energy_for(variant, 2)
    objective, data, streams = prepare(variant, energy, 2, n=32)

    def loss():
        return objective.loss(energy, data, streams.child("again")).sum()

    parameter = max(energy.parameters(), key=lambda p: p.numel())
    (slope,) = torch.autograd.grad(loss(), parameter)
    direction = Streams(5, 2).normal_like(parameter)
    step = 1e-5
    with torch.no_grad():
        parameter += step * direction
        above = loss()
        parameter -= 2 * step * direction
        below = loss()
    torch.testing.assert_close(
        (slope * direction).sum(), ((above - below) / (2 * step)).detach(), rtol=1e-4, atol=1e-6
    )


def test_global_generator_is_left_alone(variant):
    before = torch.get_rng_state()
    energy = energy_for(variant, 2)
    objective, data, streams = prepare(variant, energy, 2, n=64)
    objective.loss(energy, data, streams)
    assert torch.equal(before, torch.get_rng_state())


def test_state_round_trip(variant):
    """A checkpoint holds all that the loss depends on."""
    energy = energy_for(variant, 2)
    objective, data, streams = prepare(variant, energy, 2, n=64)
    saved = {key: value.clone() for key, value in objective.state_dict().items()}
    name, settings = variant
    other = objectives.create(name, **settings)
    other.build(energy)
    other.to(data)
    other.load_state_dict(saved)
    torch.testing.assert_close(
        other.loss(energy, data, streams.child("again")),
        objective.loss(energy, data, streams.child("again")),
    )


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_score_matching_refuses_piecewise_linear_energies(activation):
    energy = energies.create("mlp", event_shape=(2,), activation=activation)
    for name in objectives.names():
        objective = objectives.create(name)
        if "smooth" in objective.requires:
            with pytest.raises(InputError, match=r"twice differentiable.*silu"):
                objective.build(energy)
