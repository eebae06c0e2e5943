"""Every registered energy keeps the contract."""

import math

import pytest
import scipy.stats
import torch

from ebm_bench import datasets, energies
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.energies import CHECKS, Case, points
from ebm_bench.streams import Streams

SETTINGS = {
    "mlp": {"width": 8},
    "conv": {"channels": 2},
    "ica": {"source": "logistic"},
}
SHAPES = {"conv": (1, 8, 8)}


def case(name):
    return Case(name, SETTINGS.get(name, {}), SHAPES.get(name, (2,)))


def make(name, **settings):
    return case(name).make(**settings)


APPLYING = [(n, check) for check in CHECKS for n in energies.names() if check.applies(case(n))]


@pytest.mark.parametrize(("name", "check"), APPLYING, ids=lambda each: getattr(each, "name", each))
def test_contract(name, check):
    check(case(name))


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_network_rides_on_a_fitted_base(name):
    energy = make(name)
    torch.testing.assert_close(energy.location.mean().item(), 1.0, atol=0.1, rtol=0)
    torch.testing.assert_close(energy.scale.mean().item(), 2.0, atol=0.1, rtol=0)
    far = energy.location + 1e3 * energy.scale
    torch.testing.assert_close(
        energy(far),
        torch.full_like(energy(far), 0.5e6 * math.prod(energy.event_shape)),
        rtol=1e-2,
        atol=0,
    )


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "tanh"])
def test_smoothness_is_told(activation):
    assert make("mlp", activation=activation).smooth == (activation in ("silu", "tanh"))


def test_fitted_quadratic_is_the_gaussian_of_maximum_likelihood():
    energy = make("quadratic")
    data = 1.0 + 2.0 * Streams(2, 3).normal(200, 2, dtype=torch.float64)
    precision = energy.factor @ energy.factor.mT
    for replicate in range(3):
        covariance = torch.cov(data[replicate].T, correction=0)
        torch.testing.assert_close(precision[replicate], torch.linalg.inv(covariance))
        torch.testing.assert_close(energy.scale[replicate].squeeze(), covariance.diagonal().sqrt())


@pytest.mark.parametrize("sizes", [(200,), (1, 199), (64, 64, 64, 8), [1] * 200], ids=len)
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_a_quadratic_fitted_to_batches_is_that_fitted_to_all_of_them(sizes, mean):
    data = mean + 2.0 * Streams(2, 3).normal(200, 1, 2, 2, dtype=torch.float64)
    data[..., 1] += 0.5 * data[..., 0]
    whole, parts = (energies.create("quadratic", event_shape=(1, 2, 2), replicates=3).double()
                    for _ in range(2))  # fmt: skip
    whole.fit(data)
    assert parts.fit_all(iter(data.split(list(sizes), 1)))
    for (name, value), other in zip(
        whole.state_dict().items(), parts.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(value, other, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", [n for n in energies.names() if n != "quadratic"])
def test_energies_that_need_more_than_moments_say_so(name):
    assert not make(name).fit_all(iter([points(make(name))]))


def test_a_quadratic_with_a_start_is_not_fitted_to_all():
    energy = make("quadratic", start_precision=3.0)
    assert not energy.fit_all(iter([points(energy)]))


def test_a_gaussian_is_not_fitted_to_fewer_points_than_dimensions():
    few = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    energy = energies.create("quadratic", event_shape=(5,), replicates=2)
    assert not energy.fit_all(iter([few]))
    with pytest.raises(InputError, match="Raise fit_samples"):
        energy.fit(few)


def test_quadratic_samples_have_its_moments():
    energy = make("quadratic")
    x = energy.sample(20_000, Streams(5, 3))
    torch.testing.assert_close(x.mean(1, keepdim=True), energy.location, atol=0.06, rtol=0)
    torch.testing.assert_close(x.std(1, keepdim=True), energy.scale, rtol=0.03, atol=0)


TRUE = {
    "quadratic": ("gaussian", {}),
    "ica": ("laplace_ica", {"source": "laplace"}),
    "ring": ("ring", {}),
}


@pytest.mark.parametrize("energy_name", TRUE)
def test_an_energy_that_assumes_the_true_parameters_is_the_truth(energy_name):
    dataset_name, settings = TRUE[energy_name]
    dataset = datasets.create(dataset_name, dimension=3)
    energy = energies.create(energy_name, event_shape=(3,), replicates=2, **settings).double()
    energy.assume(dataset.parameters)
    assert energy.estimate.keys() == dataset.parameters.keys()
    for key, value in dataset.parameters.items():
        torch.testing.assert_close(energy.estimate[key], value.expand_as(energy.estimate[key]))
    x = dataset.sample(20, Streams(1, 2)).double()
    with torch.no_grad():
        found = -energy(x) - energy.log_z[:, None]
    torch.testing.assert_close(found, dataset.log_prob(x), atol=1e-8, rtol=0)


def test_a_hyperbolic_source_is_nearly_a_laplace_one():
    x = Streams(1, 2).normal(100, 2, dtype=torch.float64)
    found = []
    for source in ("laplace", "hyperbolic"):
        energy = energies.create("ica", event_shape=(2,), replicates=2, source=source).double()
        found.append((energy(x) + energy.log_z[:, None]).detach())
    torch.testing.assert_close(*found, atol=0.02, rtol=0)
    assert energy.smooth


def test_fitted_ring_has_the_moments_of_the_distances():
    dataset = datasets.create("ring", dimension=5)
    energy = energies.create("ring", event_shape=(5,), replicates=2).double()
    energy.fit(dataset.sample(20_000, Streams(3, 2)).double())
    torch.testing.assert_close(energy.estimate["radius"], torch.full((2,), 4.0).double(),
                               atol=0.02, rtol=0)  # fmt: skip
    torch.testing.assert_close(energy.estimate["precision"], torch.full((2,), 4.0).double(),
                               atol=0.2, rtol=0)  # fmt: skip


@pytest.mark.parametrize("energy_name", ["mlp", "truth"])
def test_weights_without_a_meaning_estimate_nothing(energy_name):
    with pytest.raises(InputError, match="Valid: ica, quadratic, ring"):
        _ = make(energy_name).estimate


def test_conv_refuses_vectors():
    with pytest.raises(InputError, match="images"):
        energies.create("conv", event_shape=(2,))


def test_truth_refuses_a_dataset_without_density():
    class Unknown:
        knows = ()

    with pytest.raises(InputError, match="density is known"):
        energies.create("truth", event_shape=(2,)).attach(Unknown())


def test_quadratic_starts_at_a_precision_around_the_mean():
    energy = make("quadratic", start_precision=4.0)
    precision = energy.factor @ energy.factor.mT
    torch.testing.assert_close(precision, 4 * torch.eye(2, dtype=torch.float64).expand(3, 2, 2))
    torch.testing.assert_close(energy.mean, energy.location)


def test_student_t_is_the_density_of_scipy():
    energy = make("student_t", freedom=2.5, start_location=1.0, start_scale=3.0)
    x = points(energy)
    expected = scipy.stats.t.logpdf(x.numpy(), 2.5, loc=1.0, scale=3.0).sum(2)
    log_prob = -energy(x) - energy.log_z.unsqueeze(1)
    torch.testing.assert_close(log_prob.detach(), torch.from_numpy(expected))


def test_mode_weights_with_the_true_weights_are_the_truth():
    mixture = datasets.create("weighted_gaussians", separation=3.0, dimension=4)
    energy = energies.create("mode_weights", event_shape=(4,), replicates=2)
    energy.attach(mixture)
    x = mixture.sample(50, Streams(0, 2))
    assert not torch.allclose(-energy(x), mixture.log_prob(x))
    with torch.no_grad():
        energy.logits.copy_(mixture.weights.log())
    torch.testing.assert_close(-energy(x), mixture.log_prob(x), rtol=1e-5, atol=1e-5)
