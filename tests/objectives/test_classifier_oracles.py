"""Closed-form values of objectives that compare data with noise or a flow; see `test_oracles`."""

import math

import pytest
import torch
from factories.oracles import (
    R,
    create,
    everywhere,
    minimise,
    normal_data,
    signs,
    standard_normal,
)

from ebm_bench import energies, objectives
from ebm_bench.streams import Replay, Streams


def knows_nothing(ratio):
    """Loss of the classifier that answers with the prior probabilities."""
    return math.log(1 + ratio) + ratio * math.log(1 + 1 / ratio)


@pytest.mark.parametrize("ratio", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("noise", ["gaussian", "diagonal_gaussian"])
@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_a_classifier_that_knows_nothing(noise, ratio, dimension):
    """Model, data and noise are one: c starts at log Z, stays there, and the loss is known."""
    data, energy = signs(dimension), standard_normal(dimension)
    objective = create("noise_contrastive", energy, data, noise=noise, ratio=ratio)
    everywhere(objective.log_z, 0.5 * dimension * math.log(2 * math.pi))
    loss = objective.loss(energy, normal_data(12, dimension), Streams(3, R))
    everywhere(loss, knows_nothing(ratio))
    slopes = torch.autograd.grad(loss.sum(), list(objective.parameters()))
    everywhere(torch.stack(slopes), 0.0)
    assert knows_nothing(1.0) == pytest.approx(2 * math.log(2))


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
    ("gap", "eigenvalue"), [(1, 0.21337), (2, 0.056886), (4, 2.0602e-3), (6, 3.8158e-5)]
)
def test_density_chasm(gap, eigenvalue):
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


@pytest.mark.parametrize(
    ("gap", "accuracy"), [(1, 0.6915), (2, 0.8413), (4, 0.9772), (6, 0.9987), (8, 0.99997)]
)
def test_accuracy_of_the_classifier(gap, accuracy):
    """The best there is, Φ(gap / 2): nearly perfect where nothing is left to learn from."""
    n = 400_000
    normal = torch.distributions.Normal(0.0, 1.0)
    noise = normal.icdf((torch.arange(n, dtype=torch.float64) + 0.5) / n).view(1, n, 1)
    energy = standard_normal(1)
    torch.nn.init.constant_(energy.mean, gap)
    # Not fitted to the data, the noise is the standard normal.
    objective = objectives.create("noise_contrastive", noise="diagonal_gaussian")
    objective.build(energy)
    objective.double()
    objective.normaliser.start.copy_(energy.log_z.detach())

    def is_data(x):
        x = x.expand(R, -1, -1)
        return -energy(x) - objective.log_z[:, None] > objective.distribution.log_prob(x)

    right = 0.5 * (is_data(noise + gap).double().mean() + 1 - is_data(noise).double().mean())
    assert right.item() == pytest.approx(accuracy, abs=5e-5 if gap < 8 else 5e-6)


@pytest.mark.parametrize("ratio", [1, 4])
def test_conditional_noise_contrastive_knows_nothing_of_a_constant_energy(ratio):
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.full(x.shape[:2], 3.0, dtype=x.dtype)

    data = normal_data(50, 2)
    objective = objectives.create("conditional_noise_contrastive", ratio=ratio)
    value = objective.loss(Constant(), data, Streams(1, R))
    torch.testing.assert_close(value, torch.full_like(value, 2 * math.log(2)))


def test_conditional_noise_contrastive_with_small_noise_is_score_matching():
    """Steps of ±εeᵢ√d have the moments of normal ones, so that there is no sampling error."""
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=6).double()
    data = normal_data(7, 2)
    exact = create("exact_score_matching", energy, data).loss(energy, data, None)
    signs = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).double() * math.sqrt(2)

    class Axes:
        def normal(self, ratio, *shape, dtype):
            return signs.view(4, 1, 2).expand(R, 4, *shape)

    def found(epsilon):
        objective = objectives.create("conditional_noise_contrastive", epsilon=epsilon, ratio=4)
        return 2 * (objective.loss(energy, data, Axes()) - 2 * math.log(2)) / epsilon**2

    errors = [(found(epsilon) - exact).abs().max().item() for epsilon in (0.1, 0.05)]
    assert errors[0] < 0.05
    # The steps come in pairs, so that the next term is of the fourth order in all.
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.1)


@pytest.mark.parametrize("kind", ["spline", "affine"])
def test_flow_contrastive_at_equilibrium(kind):
    """Energy and flow standard normal: nobody can tell, the loss is log 4, and c rests."""
    energy = standard_normal(2)
    # Not fitted to data, a flow is the standard normal.
    objective = objectives.create("flow_contrastive", noise_settings={"kind": kind})
    objective.build(energy)
    objective.double()
    objective.normaliser.start.copy_(energy.log_z.detach())
    loss = objective.loss(energy, normal_data(12, 2), Streams(3, R))
    everywhere(loss, math.log(4))
    (slope,) = torch.autograd.grad(loss.sum(), objective.normaliser.theta)
    everywhere(slope, 0.0)


@pytest.mark.parametrize(
    ("precision", "variance"), [(1.0, 1.0), (1.0, 2.0), (0.5, 1.0), (3.0, 0.3)]
)
def test_adversarial_flow_bounds_the_likelihood(precision, variance):
    """Below it by the divergence of the flow, N(0, 1), from the model, at any data."""
    energy = standard_normal(2)
    torch.nn.init.constant_(energy.log_diagonal, 0.5 * math.log(precision))
    objective = objectives.create("adversarial_flow", noise_settings={"kind": "affine"})
    objective.build(energy)
    objective.double()
    data, latents = math.sqrt(variance) * signs(2), signs(2)
    loss = objective.loss(energy, data, Replay([latents]))
    likelihood = precision * variance + energy.log_z.detach()
    divergence = precision - 1 - math.log(precision)
    torch.testing.assert_close(loss, likelihood - divergence, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("precision", [0.5, 1.0, 3.0])
def test_the_adversarial_flow_goes_to_the_model_and_the_energy_to_the_data(precision):
    """Slopes by the width s of the flow, ``d (a s − 1/s)``, and by the model's log-precision."""
    energy = standard_normal(2)
    torch.nn.init.constant_(energy.log_diagonal, 0.5 * math.log(precision))
    objective = objectives.create("adversarial_flow", noise_settings={"kind": "affine"})
    objective.build(energy)
    objective.double()
    flow, data = objective.distribution.flow, math.sqrt(1.7) * signs(2)
    flow.scale.mul_(1.5).requires_grad_()
    loss = objective.loss(energy, data, Replay([signs(2)]))
    by_scale, by_precision = torch.autograd.grad(loss.sum(), [flow.scale, energy.log_diagonal])
    everywhere(by_scale, precision * 1.5 - 1 / 1.5)
    everywhere(by_precision, precision * (1.7 - 1.5**2))
