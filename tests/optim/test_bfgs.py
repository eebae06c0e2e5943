"""Minima that are known, minima that do not exist, and replicates at their own pace."""

import pytest
import torch
from torch.nn.functional import softplus

from ebm_bench.optim import bfgs
from ebm_bench.optim.bfgs import hessian, inverse_where_positive, minimise
from ebm_bench.streams import Streams


def differentiable(function):
    """Losses and gradients of a function from (R, p) to (R,)."""

    def evaluate(theta):
        theta = theta.clone().requires_grad_()
        value = function(theta)
        return value.detach(), torch.autograd.grad(value.sum(), theta)[0]

    return evaluate


def start(replicates, size):
    return Streams(0, replicates).normal(size, dtype=torch.float64)


@differentiable
def valley(theta):
    """Rosenbrock's, with the minimum at (1, 1)."""
    x, y = theta.unbind(1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def test_finds_the_end_of_a_valley():
    found = minimise(valley, start(6, 2))
    assert found.status == ["converged"] * 6
    torch.testing.assert_close(found.theta, torch.ones(6, 2).double(), atol=1e-3, rtol=0)
    assert (found.gradient <= bfgs.GRADIENT).all()
    assert (found.evaluations < 150).all()


def test_a_replicate_alone_ends_as_among_others():
    theta = start(4, 2)
    together, alone = minimise(valley, theta), minimise(valley, theta[2:3])
    torch.testing.assert_close(together.theta[2:3], alone.theta)
    assert together.evaluations[2] == alone.evaluations[0]


def test_a_good_inverse_hessian_saves_evaluations():
    scales = torch.tensor([1.0, 10, 100]).double()
    bowl = differentiable(lambda theta: 0.5 * (scales * theta.square()).sum(1))
    blind = minimise(bowl, start(2, 3))
    informed = minimise(bowl, start(2, 3), torch.diag(1 / scales).expand(2, 3, 3))
    assert (informed.evaluations <= 4).all()
    assert (blind.evaluations > informed.evaluations).all()


def test_a_loss_that_falls_forever_has_no_finite_optimum():
    """Logistic regression of separated classes, beside one of overlapping classes."""
    labels = torch.tensor([[-1.0, -1, 1, 1], [-1.0, 1, -1, 1]]).double()
    x = torch.tensor([-2.0, -1, 1, 2]).double()
    loss = differentiable(lambda theta: softplus(-labels * theta * x).mean(1))
    found = minimise(loss, torch.zeros(2, 1).double())
    assert found.status == ["no_finite_optimum", "converged"]


def test_too_few_evaluations_are_told():
    assert minimise(valley, start(1, 2), evaluations=5).status == ["not_converged"]


def test_steps_into_the_undefined_are_shortened():
    """A logarithm that is not finite one step from the start."""
    loss = differentiable(lambda theta: (theta - 3 * theta.log()).sum(1))
    found = minimise(loss, torch.full((1, 1), 0.05).double())
    assert found.status == ["converged"]
    assert found.theta.item() == pytest.approx(3, abs=1e-4)


def test_hessian_is_that_of_autograd():
    theta = start(3, 2)
    found = hessian(valley, theta, step=1e-4)
    for row, point in zip(found, theta, strict=True):
        x, y = point.tolist()
        exact = torch.tensor([[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200.0]])
        torch.testing.assert_close(row, exact.double(), rtol=1e-5, atol=1e-4)


def test_matrices_that_are_not_positive_are_replaced():
    matrices = torch.tensor([[[2.0, 0], [0, 4]], [[1, 0], [0, -1]]]).double()
    found = inverse_where_positive(matrices, torch.full((2, 2, 2), 7.0).double())
    torch.testing.assert_close(found[0], torch.diag(torch.tensor([0.5, 0.25])).double())
    assert (found[1] == 7).all()
