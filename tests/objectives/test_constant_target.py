"""Closed forms of constant-target energy matching."""

import math

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Streams

R = 2


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def create(energy, **settings):
    objective = objectives.create("constant_target_energy_matching", **settings)
    objective.build(energy)
    return objective


class Steps:
    """Standard normal steps that are given."""

    def __init__(self, steps):
        self.steps = steps

    def normal(self, ratio, *shape, dtype):
        return self.steps.view(1, ratio, -1, shape[-1]).expand(R, ratio, *shape)


def found_for(model, data, epsilon, n=2**14):
    """Loss of a Gaussian model and data, by well-spaced pairs of points and steps."""
    uniform = torch.quasirandom.SobolEngine(2).draw(n).double() + 0.5 / n
    x, steps = torch.distributions.Normal(0.0, 1.0).icdf(uniform).unbind(1)
    x = math.sqrt(data) * x.view(1, n, 1).expand(R, -1, -1)
    energy = gaussian(model)
    return create(energy, epsilon=epsilon).loss(energy, x, Steps(steps))


@pytest.mark.parametrize(("variance", "epsilon"), [(1.0, 0.5), (1.0, 2.0), (0.5, 0.7)])
def test_value_of_the_truth(variance, epsilon):
    """``2 ∬ k p p′/(p + p′)``, here by the trapezoidal rule."""
    found = found_for(variance, variance, epsilon)
    grid = torch.linspace(-12, 12, 401, dtype=torch.float64)
    density = torch.distributions.Normal(0.0, math.sqrt(variance)).log_prob(grid).exp()
    kernel = torch.distributions.Normal(0.0, epsilon).log_prob(grid[:, None] - grid).exp()
    pairs = density[:, None] * density / (density[:, None] + density)
    expected = 2 * (kernel * pairs).sum() * 0.06**2
    torch.testing.assert_close(found, expected.expand(R), rtol=0, atol=1e-3)


@pytest.mark.parametrize("epsilon", [0.3, 3.0])
def test_no_other_variance_is_better_than_the_truth(epsilon):
    energy = gaussian(1.0)
    n = 2**14
    uniform = torch.quasirandom.SobolEngine(2).draw(n).double() + 0.5 / n
    x, steps = torch.distributions.Normal(0.0, 1.0).icdf(uniform).unbind(1)
    # Pairs in both orders of their signs, so that the data are symmetric.
    x, steps = torch.cat([x, -x]), torch.cat([steps, -steps])
    objective = create(energy, epsilon=epsilon)
    loss = objective.loss(energy, x.view(1, -1, 1).expand(R, -1, -1), Steps(steps))
    (slope,) = torch.autograd.grad(loss.sum(), energy.log_diagonal)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=2e-3)
    assert all((found_for(v, 1.0, epsilon) > loss).all() for v in (0.5, 2.0))


def test_short_steps_are_score_matching():
    """Steps of ±εeᵢ√2 have the moments of normal ones, so that there is no sampling error."""
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=6).double()
    data = Streams(3, R).normal(7, 2, dtype=torch.float64)
    exact = objectives.create("exact_score_matching").loss(energy, data, None)
    axes = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).double()
    steps = Steps(axes.repeat_interleave(7, 0))

    def found(epsilon):
        return 2 * (create(energy, epsilon=epsilon, ratio=4).loss(energy, data, steps) - 1)

    errors = [(found(e) / e**2 - exact).abs().max().item() for e in (0.1, 0.05)]
    assert errors[0] < 0.05
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.1)


def test_the_loss_is_bounded():
    """Whatever the energies are: by 4, and by 0."""
    for scale, bound in ((1e4, 4.0), (-1e4, 0.0)):
        # All energy differences to points nearby have one sign.
        energy = torch.nn.Module()
        energy.forward = lambda x, scale=scale: -scale * x.squeeze(2)
        x = torch.zeros(R, 5, 1, dtype=torch.float64)
        found = objectives.create("constant_target_energy_matching").loss(
            energy, x, Steps(torch.ones(5, dtype=torch.float64))
        )
        torch.testing.assert_close(found, torch.full_like(found, bound))
