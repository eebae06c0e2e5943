"""Every registered objective keeps the contract, and points the right way.

The variants below are read from the registry, so that a new objective, a new choice of a
setting or a new noise is tested without a line being written here.
"""

import math
from typing import Literal, get_args, get_origin

import pytest
import torch

from ebm_bench import energies, noise, objectives, registry, samplers
from ebm_bench.errors import InputError
from ebm_bench.optimisation import Optimiser
from ebm_bench.streams import Streams

# What makes a test quick; nothing that changes what is tested.
QUICK = {
    "contrastive_divergence": {"steps": 20, "step_size": 0.3, "chains": 4000},
    "flow_contrastive": {"noise_settings": {"steps": 5}},
}
QUICK_NOISE = {
    "flow": {"noise_settings": {"steps": 5}},
    "gaussian_mixture": {"noise_settings": {"components": 2}},
}
# Numbers that matter and are not a choice between a few.
NUMBERS = [
    ("sliced_score_matching", {"variance_reduced": False, "projections": 3}),
    ("denoising_score_matching", {"sigma": 0.3}),
    ("conditional_noise_contrastive", {"epsilon": 1.0, "ratio": 3}),
    ("noise_contrastive", {"ratio": 3}),
    ("noise_contrastive", {"ratio": 0.5}),
]
# What an objective owns and maximises, against the energy.
MAXIMISED = {("flow_contrastive", "distribution")}


def choices(name):
    """Settings with each value but the default that they may take, where these are few."""
    for key, (annotation, default) in registry.describe("objectives", name).settings.items():
        if key == "noise":
            yield from ({key: n, **QUICK_NOISE.get(n, {})} for n in noise.names() if n != default)
        elif annotation is bool:
            yield {key: not default}
        elif get_origin(annotation) is Literal:
            yield from ({key: value} for value in get_args(annotation) if value != default)


VARIANTS = [
    (name, {**QUICK.get(name, {}), **settings})
    for name, settings in [
        *((name, settings) for name in objectives.names() for settings in ({}, *choices(name))),
        *NUMBERS,
    ]
]
TRAINED = [v for v in VARIANTS if objectives.create(v[0]).trains]
# Energies whose derivatives are computed by plain operations, and by automatic differentiation.
PATHS = {"mlp": {"width": 8}, "ica": {"source": "logistic"}}


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


def prepare(variant, energy, replicates, n=4000, dtype=torch.float64):
    """An objective set up on standard normal data, and a batch of these."""
    name, settings = variant
    streams = Streams(7, replicates)
    data = streams.child("data").normal(n, 2, dtype=dtype)
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


def energy_for(variant, replicates, path="mlp"):
    """An energy that the objective accepts, of other weights in each replicate."""
    streams = Streams(3, replicates)
    shapes = {"event_shape": (2,), "replicates": streams.replicates, "streams": streams}
    if "log_z" in objectives.create(variant[0]).requires and path == "mlp":
        return gaussian_energy(1.3, streams.replicates)
    return energies.create(path, **shapes, **PATHS[path]).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_shape_and_dtype(variant, dtype):
    energy = energy_for(variant, 3).to(dtype)
    objective, data, streams = prepare(variant, energy, 3, n=64, dtype=dtype)
    loss = objective.loss(energy, data, streams)
    assert loss.shape == (3,)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()
    assert (objective.log_z is None) or objective.log_z.shape == (3,)


def parts(energy, objective):
    """What is trained, in the parts that training clips: the energy and what comes with it."""
    named = {"energy": energy, **dict(objective.named_children())}
    trained = {k: [p for p in part.parameters() if p.requires_grad] for k, part in named.items()}
    return {name: parameters for name, parameters in trained.items() if parameters}


@pytest.mark.parametrize("variant", TRAINED, ids=ids(TRAINED))
def test_replicate_alone_equals_replicate_among_others(variant):
    """After one full step of training, in everything that the run would keep."""
    kept = []
    for replicates, row in (((0, 1, 2), 1), ((1,), 0)):
        energy = energy_for(variant, replicates)
        objective, data, streams = prepare(variant, energy, replicates, n=64)
        players = list(parts(energy, objective).values())
        before = [p[row].clone() for p in players[0]]
        loss = objective.loss(energy, data, streams)
        Optimiser(players, len(replicates), 1e-2, 1.0, steps=10).step(loss, 0)
        assert any((p[row] != old).any() for p, old in zip(players[0], before, strict=True))
        state = {**energy.state_dict(), **objective.state_dict(prefix="objective.")}
        kept.append({"loss": loss[row].detach(), **{k: v[row] for k, v in state.items()}})
    torch.testing.assert_close(kept[0], kept[1])


@pytest.fixture
def held_samples(monkeypatch):
    """Chains that stay where they first ended: samples of the model are held constant."""
    for name in samplers.names():
        kind = type(samplers.create(name))

        def run(self, energy, x, streams, proper=kind.run, ends={}):  # noqa: B006
            if id(self) not in ends:
                ends[id(self)] = proper(self, energy, x, streams)
            return ends[id(self)]

        monkeypatch.setattr(kind, "run", run)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("variant", TRAINED, ids=ids(TRAINED))
def test_gradient_is_that_of_finite_differences(variant, path, held_samples):
    """In the weights of the energy and of all that is trained beside it."""
    energy = energy_for(variant, 2, path)
    objective, data, streams = prepare(variant, energy, 2, n=32)

    def loss():
        return objective.loss(energy, data, streams.child("again")).sum()

    for part, parameters in parts(energy, objective).items():
        slopes = torch.autograd.grad(loss(), parameters, materialize_grads=True)
        directions = [Streams(5, 1).normal(*p.shape, dtype=p.dtype)[0] for p in parameters]
        along = sum((s * v).sum() for s, v in zip(slopes, directions, strict=True))
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                torch._foreach_add_(parameters, directions, alpha=step)
            values.append(loss().detach())
        with torch.no_grad():
            torch._foreach_add_(parameters, directions, alpha=1e-5)
        expected = (values[0] - values[1]) / 2e-5
        sign = -1 if (variant[0], part) in MAXIMISED else 1
        torch.testing.assert_close(along, sign * expected, rtol=1e-6, atol=1e-7)
        assert along != 0, part


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


ROUGH = [
    (name, {key: value})
    for name, entry in registry.entries("energies").items()
    for key, values in entry.attributes.get("rough", {}).items()
    for value in values
] + [("flow", {"kind": "spline"})]


@pytest.mark.parametrize(("energy", "settings"), ROUGH, ids=ids(ROUGH))
def test_score_matching_refuses_energies_without_a_second_derivative(energy, settings):
    shape = (1, 8, 8) if energy == "conv" else (2,)
    rough = energies.create(energy, event_shape=shape, **settings)
    asking = [n for n in objectives.names() if "smooth" in objectives.create(n).requires]
    assert len(asking) >= 3
    for name in asking:
        with pytest.raises(InputError, match=r"twice differentiable.*silu"):
            objectives.create(name).build(rough)
