"""Closed forms of score matching with weights that vanish on a border."""

import math
from itertools import product

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.streams import Replay, Streams

R = 2


class Polynomial(torch.nn.Module):
    """An energy ``θ₁x + ½θ₂x²`` of numbers."""

    event_shape, replicates = (1,), R

    def __init__(self, *start):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(start).double().expand(R, -1).clone())

    def forward(self, x):
        linear, square = self.theta.unsqueeze(2).unbind(1)
        return linear * x.squeeze(2) + 0.5 * square * x.squeeze(2).square()


def create(energy, low, high, reach, **settings):
    objective = objectives.create("weighted_score_matching", **settings)
    shape = (R, 1, *energy.event_shape)
    for name, value in {"low": low, "high": high, "reach": reach}.items():
        objective.register_buffer(name, torch.full(shape, value, dtype=torch.float64))
    return objective


def minimiser(objective, x):
    """Parameters of a polynomial of least loss, which is quadratic in them."""
    energy = Polynomial(0.0, 0.0)
    loss = objective.loss(energy, x, None)
    (slope,) = torch.autograd.grad(loss.sum(), energy.theta, create_graph=True)
    rows = [torch.autograd.grad(one.sum(), energy.theta, retain_graph=True)[0]
            for one in slope.unbind(1)]  # fmt: skip
    return -torch.linalg.solve(torch.stack(rows, 1), slope.detach())


@pytest.mark.parametrize("rate", [1.0, 2.5])
def test_exponential_density_on_the_half_line(rate):
    """With h = x² the minimum is −1, at the rate: two points have the moments that matter."""
    x = torch.tensor([0.0, 2 / rate]).double().view(1, 2, 1).expand(R, -1, -1)
    reach = 1e3
    objective = create(Polynomial(0.0, 0.0), 0.0, math.inf, reach, power=2.0)
    energy = Polynomial(rate, 0.0)
    loss = reach**2 * objective.loss(energy, x, None)
    torch.testing.assert_close(loss, torch.full_like(loss, -1.0))
    (slope,) = torch.autograd.grad(loss.sum(), energy.theta)
    torch.testing.assert_close(slope[:, 0], torch.zeros(R).double())


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("reach", [0.3, 5.0])
def test_a_truncated_normal_density_is_found(power, reach):
    """On [−1, 2], where score matching without weights is far off."""
    normal = torch.distributions.Normal(0.0, 1.0)
    ends = normal.cdf(torch.tensor([-1.0, 2.0]).double())
    middles = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    x = normal.icdf(ends[0] + (ends[1] - ends[0]) * middles).view(1, -1, 1).expand(R, -1, -1)
    truth = torch.tensor([0.0, 1.0]).double().expand(R, -1)
    bounded = create(Polynomial(0.0, 0.0), -1.0, 2.0, reach, power=power)
    torch.testing.assert_close(minimiser(bounded, x), truth, rtol=0, atol=2e-3)
    free = create(Polynomial(0.0, 0.0), -math.inf, math.inf, reach)
    assert (minimiser(free, x) - truth).abs().max() > 0.3


def network(shape=(3,)):
    name, size = ("mlp", {"width": 6}) if len(shape) == 1 else ("conv", {"channels": 2})
    energy = energies.create(name, event_shape=shape, replicates=R, **size).double()
    return energy, Streams(3, R).normal(9, *shape, dtype=torch.float64)


def test_without_a_border_it_is_exact_score_matching():
    energy, x = network()
    exact = objectives.create("exact_score_matching").loss(energy, x, None)
    found = create(energy, -math.inf, math.inf, 1.0).loss(energy, x, None)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=0)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_all_derivatives_are_those_of_the_formula(shape, power):
    """By automatic differentiation of ``h_i ∂_iE``: for points inside, near the border, outside."""
    energy, x = network(shape)
    low, high, reach = -0.9, 0.7, 0.4
    found = create(energy, low, high, reach, power=power).loss(energy, x, None)
    point = x.clone().requires_grad_()
    weight = torch.minimum(point - low, high - point).div(reach).clamp(0, 1) ** power
    (slope,) = torch.autograd.grad(energy(point).sum(), point, create_graph=True)
    half = (0.5 * weight * slope.square()).flatten(2).sum(2)
    flux = (weight * slope).flatten(2)
    bend = sum(
        torch.autograd.grad(flux[..., i].sum(), point, retain_graph=True)[0].flatten(2)[..., i]
        for i in range(flux.shape[2])
    )
    torch.testing.assert_close(found, (half - bend).mean(1), rtol=1e-9, atol=1e-12)
    assert 0 < (weight == 0).sum() < weight.numel()
    assert (weight == 1).any()


def test_random_signs_have_the_exact_value_on_average():
    energy, x = network((2,))
    exact = create(energy, -1.0, 0.9, 0.5).loss(energy, x, None)
    draws = [torch.tensor(one).expand(R, 1, 9, 2) for one in product([0, 1], repeat=2)]
    sliced = create(energy, -1.0, 0.9, 0.5, projections=1)
    values = [sliced.loss(energy, x, Replay([draw])) for draw in draws]
    torch.testing.assert_close(sum(values) / 4, exact, rtol=1e-10, atol=0)
    both = create(energy, -1.0, 0.9, 0.5, projections=2)
    pair = both.loss(energy, x, Replay([torch.cat(draws[:2], 1)]))
    torch.testing.assert_close(pair, (values[0] + values[1]) / 2, rtol=1e-10, atol=0)


def test_the_box_is_that_of_the_data_of_each_replicate():
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=4)
    data = torch.tensor([[0.0, 1], [2, 5], [1, 3]]).expand(R, -1, -1) * torch.tensor(
        [[[1.0]], [[-2.0]]]
    )
    objective = objectives.create("weighted_score_matching", width=0.5)
    objective.setup(energy, data, Streams(0, R))
    assert objective.low.squeeze(1).tolist() == [[0, 1], [-4, -10]]
    assert objective.high.squeeze(1).tolist() == [[2, 5], [0, -2]]
    deviation = torch.tensor([[2 / 3], [8 / 3]]).sqrt() * torch.tensor([1.0, 2.0])
    torch.testing.assert_close(objective.reach.squeeze(1), 0.5 * deviation)
