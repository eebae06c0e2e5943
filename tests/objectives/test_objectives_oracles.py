"""Closed-form values that each objective must take."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Streams

R = 2


def standard_normal(dimension):
    return energies.create("quadratic", event_shape=(dimension,), replicates=R).double()


def normal_data(n, dimension, seed=0):
    return Streams(seed, R).normal(n, dimension, dtype=torch.float64)


def create(name, energy, data, **settings):
    objective = objectives.create(name, **settings)
    objective.setup(energy, data, Streams(11, R))
    return objective


def minimise(loss, parameters):
    """Minimise a deterministic loss to convergence."""
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=500,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
    )

    def closure():
        optimiser.zero_grad()
        value = loss().sum()
        value.backward()
        return value

    optimiser.step(closure)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_exact_score_matching_of_the_truth(dimension):
    """On N(0, I) the value is −d/2; the mean of ½‖x‖² has standard deviation √(d/2n)."""
    data, energy = normal_data(20_000, dimension), standard_normal(dimension)
    value = create("exact_score_matching", energy, data).loss(energy, data, None)
    error = math.sqrt(dimension / 2 / 20_000)
    torch.testing.assert_close(
        value, torch.full_like(value, -dimension / 2), atol=4 * error, rtol=0
    )


def test_exact_score_matching_finds_the_inverse_covariance():
    data = normal_data(50, 3) @ torch.tensor([[2.0, 0, 0], [0.5, 1, 0], [-1, 0.3, 0.7]]).double()
    energy = standard_normal(3)
    objective = create("exact_score_matching", energy, data)
    minimise(lambda: objective.loss(energy, data, None), list(energy.parameters()))
    precision = energy.factor @ energy.factor.mT
    for replicate in range(R):
        covariance = torch.cov(data[replicate].T, correction=0)
        torch.testing.assert_close(
            precision[replicate], torch.linalg.inv(covariance), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("variance_reduced", [True, False])
def test_sliced_has_the_exact_value_in_expectation(variance_reduced):
    """Rademacher signs in two dimensions: their four values are the whole expectation."""
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=6).double()
    data = normal_data(5, 2)
    exact = create("exact_score_matching", energy, data).loss(energy, data, None)
    sliced = create("sliced_score_matching", energy, data, variance_reduced=variance_reduced)

    class Fixed:
        def __init__(self, signs):
            self.signs = torch.tensor(signs).double()

        def normal(self, projections, *shape, dtype):
            return self.signs.expand(R, projections, *shape)

    values = [
        sliced.loss(energy, data, Fixed(signs)) for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    ]
    torch.testing.assert_close(sum(values) / 4, exact)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_denoising_finds_the_smoothed_precision(sigma):
    data, energy = normal_data(100_000, 1), standard_normal(1)
    objective = create("denoising_score_matching", energy, data, sigma=sigma)
    minimise(lambda: objective.loss(energy, data, Streams(1, R)), list(energy.parameters()))
    precision = (2 * energy.log_diagonal).exp().detach()
    torch.testing.assert_close(
        precision, torch.full_like(precision, 1 / (1 + sigma**2)), rtol=0.02, atol=0
    )


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_noise_contrastive_with_model_and_noise_equal(ratio):
    """Nothing to tell apart: the loss is that of the prior, and c starts at log Z."""
    data, energy = normal_data(2000, 2), standard_normal(2)
    energy.fit(data)
    objective = create("noise_contrastive", energy, data, noise="gaussian", ratio=ratio)
    expected = math.log(1 + ratio) + ratio * math.log(1 + 1 / ratio)
    loss = objective.loss(energy, data, Streams(3, R))
    torch.testing.assert_close(loss, torch.full_like(loss, expected), rtol=1e-3, atol=0)
    torch.testing.assert_close(objective.log_z, energy.log_z, atol=5e-3, rtol=0)
    if ratio == 1:
        assert expected == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("ratio", [1.0, 5.0])
def test_noise_contrastive_learns_the_normaliser(ratio):
    """With another noise than the model, c still becomes log Z, for every ratio."""
    data, energy = normal_data(20_000, 1), standard_normal(1)
    objective = create("noise_contrastive", energy, data, noise="uniform", ratio=ratio)
    minimise(
        lambda: objective.loss(energy, data, Streams(4, R)),
        [*energy.parameters(), *objective.parameters()],
    )
    torch.testing.assert_close(objective.log_z, energy.log_z, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("gap", "eigenvalue", "accuracy"),
    [(1, 0.21337, 0.6915), (2, 0.056886, 0.8413), (4, 2.0602e-3, 0.9772), (6, 3.8158e-5, 0.9987)],
)
def test_density_chasm(gap, eigenvalue, accuracy):
    """Far noise flattens the loss at its optimum: data N(gap, 1) against noise N(0, 1)."""
    n = 400_000
    normal = torch.distributions.Normal(0.0, 1.0)
    quantiles = normal.icdf((torch.arange(n, dtype=torch.float64) + 0.5) / n).view(1, n, 1)
    quantiles = quantiles.expand(R, n, 1)
    energy = standard_normal(1)
    torch.nn.init.constant_(energy.mean, gap)
    objective = objectives.create("noise_contrastive")
    objective.build(energy)
    objective.double()
    objective.normaliser.start.copy_(energy.log_z.detach())

    class StandardNormal(torch.nn.Module):
        def sample_with_log_prob(self, count, streams):
            return quantiles, self.log_prob(quantiles)

        def log_prob(self, x):
            return normal.log_prob(x).squeeze(2)

    objective.distribution = StandardNormal()
    data = quantiles + gap
    parameters = [energy.mean, objective.normaliser.theta]
    slopes = torch.autograd.grad(
        objective.loss(energy, data, None).sum(), parameters, create_graph=True
    )
    rows = [torch.autograd.grad(s.sum(), parameters, retain_graph=True) for s in slopes]
    hessian = torch.stack([torch.stack([entry.flatten()[0] for entry in row]) for row in rows])
    assert torch.linalg.eigvalsh(hessian)[0].item() == pytest.approx(eigenvalue, rel=0.01)
    with torch.no_grad():
        log_p = -energy(data) - objective.log_z[:, None]
        right = (log_p > normal.log_prob(data).squeeze(2)).double().mean()
    assert right.item() == pytest.approx(accuracy, abs=1e-4)


def test_maximum_likelihood_of_the_truth_is_the_entropy():
    data, energy = normal_data(50_000, 2), standard_normal(2)
    value = create("maximum_likelihood", energy, data).loss(energy, data, None)
    entropy = 1 + math.log(2 * math.pi)
    torch.testing.assert_close(value, torch.full_like(value, entropy), atol=0.02, rtol=0)


def test_contrastive_divergence_is_at_rest_at_the_truth():
    """Chains that start in the model stay in it, up to the sampler's small bias."""
    data, energy = normal_data(20_000, 2), standard_normal(2)
    objective = create(
        "contrastive_divergence", energy, data, steps=5, step_size=0.05, chains=20_000
    )
    value = objective.loss(energy, data, Streams(2, R))
    torch.testing.assert_close(value, torch.zeros_like(value), atol=0.02, rtol=0)


def test_persistent_chains_go_on():
    data, energy = normal_data(100, 2), standard_normal(2)
    objective = create("contrastive_divergence", energy, data, persistent=True, chains=50, steps=2)
    before = objective.states.clone()
    streams = Streams(2, R)
    objective.loss(energy, data, streams)
    middle = objective.states.clone()
    objective.loss(energy, data, streams)
    assert not torch.equal(before, middle)
    assert not torch.equal(middle, objective.states)


def test_flow_contrastive_at_equilibrium():
    """Data, energy and flow all standard normal: nobody can gain, and the loss is log 4."""
    data, energy = normal_data(4000, 2), standard_normal(2)
    objective = create("flow_contrastive", energy, data, noise_settings={"steps": 1})
    objective.distribution.build()  # an unfitted flow is the standard normal
    objective.double()
    objective.normaliser.start.copy_(energy.log_z.detach())
    loss = objective.loss(energy, data, Streams(3, R))
    torch.testing.assert_close(loss, torch.full_like(loss, math.log(4)), rtol=1e-3, atol=0)


def test_flow_contrastive_flow_climbs_where_the_energy_descends():
    """The flow's gradient is that of the negative loss, through its samples too."""
    data, energy = normal_data(256, 2), standard_normal(2)
    torch.nn.init.constant_(energy.log_diagonal, -0.3)
    objective = create("flow_contrastive", energy, data, noise_settings={"steps": 3})
    parameter = max(objective.distribution.parameters(), key=lambda p: p.numel())
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).double()

    def loss():
        return objective.loss(energy, data, Streams(5, R)).sum()

    (slope,) = torch.autograd.grad(loss(), parameter)
    with torch.no_grad():
        parameter += 1e-5 * direction
        above = loss()
        parameter -= 2e-5 * direction
        below = loss()
    torch.testing.assert_close(
        (slope * direction).sum(), -(above - below) / 2e-5, rtol=1e-4, atol=1e-7
    )
