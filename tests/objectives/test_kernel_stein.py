"""Closed forms of the kernel Stein discrepancy."""

import math
from itertools import permutations

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

R = 2


def gaussian(variance):
    """An energy ``x²/2v``."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=R).double()
    torch.nn.init.constant_(energy.log_diagonal, -0.5 * math.log(variance))
    return energy


def create(energy, bandwidth, **settings):
    objective = objectives.create("kernel_stein", **settings)
    objective.build(energy)
    objective.double().bandwidth.fill_(bandwidth)
    return objective


def nodes(variance, n=512):
    """Points that stand for N(0, s), (R, n, 1)."""
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x = torch.distributions.Normal(0.0, math.sqrt(variance)).icdf(middles)
    return x.view(1, n, 1).expand(R, -1, -1)


@pytest.mark.parametrize("h", [0.5, 2.0])
@pytest.mark.parametrize(("data", "model"), [(1.0, 1.0), (1.0, 2.0), (2.0, 0.7)])
def test_discrepancy_of_gaussians(data, model, h):
    """``(1/v − 1/s)² (s/2) A^(−1/2) (1 − 1/A)`` with ``A = 1 + 2s/h²``, of a Gaussian kernel."""
    energy, x = gaussian(model), nodes(data)
    found = create(energy, h, kernel="rbf").loss(energy, x, None)
    a = 1 + 2 * data / h**2
    expected = (1 / model - 1 / data) ** 2 * data / 2 * a**-0.5 * (1 - 1 / a)
    # Pairs of a point with itself are not in the statistic, but would be in the integral.
    own = (x.square() / model**2 + 1 / h**2).mean((1, 2))
    n = x.shape[1]
    found = (found * (n - 1) + own) / n
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=3e-3)


def by_autograd(kernel, energy, x):
    """U-statistic with every derivative of the kernel by automatic differentiation."""

    points = x.clone().requires_grad_()
    score = -torch.autograd.grad(energy(points)[0].sum(), points)[0][0]
    pairs = list(permutations(range(x.shape[1]), 2))
    total = 0.0
    for i, j in pairs:
        a, b = (x[0, k].clone().requires_grad_() for k in (i, j))
        value = kernel((a - b).square().sum())
        by_a, by_b = torch.autograd.grad(value, (a, b), create_graph=True)
        mixed = sum(torch.autograd.grad(d, b, retain_graph=True)[0][k] for k, d in enumerate(by_a))
        total += value * (score[i] @ score[j]) + score[i] @ by_b + score[j] @ by_a + mixed
    return total.detach() / len(pairs)


@pytest.mark.parametrize("name", ["rbf", "imq"])
def test_the_stein_kernel_has_the_derivatives_of_its_kernel(name):
    h = 0.8
    kernels = {
        "rbf": lambda squares: torch.exp(-squares / (2 * h**2)),
        "imq": lambda squares: (1 + squares / h**2) ** -0.5,
    }
    energy = energies.create("mlp", event_shape=(3,), replicates=R, width=6).double()
    x = Streams(3, 1).normal(5, 3, dtype=torch.float64).expand(R, -1, -1)
    found = create(energy, h, kernel=name).loss(energy, x, None)
    expected = by_autograd(kernels[name], energy, x)
    torch.testing.assert_close(found[0], expected, rtol=1e-10, atol=0)


def test_the_bandwidth_is_the_median_distance_of_each_replicate():
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=4)
    data = (
        torch.tensor([[0.0, 0], [3, 4], [6, 8]]).expand(R, -1, -1)
        * torch.tensor([1, 2.0])[:, None, None]
    )
    objective = objectives.create("kernel_stein", width=0.5)
    objective.setup(energy, data, Streams(0, R))
    assert objective.bandwidth.flatten().tolist() == [2.5, 5.0]


def test_images_are_vectors():
    energy = energies.create("conv", event_shape=(1, 4, 4), replicates=R, channels=2)
    x = Streams(1, R).normal(6, 1, 4, 4)
    objective = objectives.create("kernel_stein")
    objective.setup(energy, x, Streams(0, R))
    loss = objective.loss(energy, x, Streams(0, R))
    assert loss.shape == (R,)
    assert loss.isfinite().all()


def test_large_batches_are_compared_in_blocks():
    """Of 512 points; the pairs of all blocks count alike, and a block of one point has none."""
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=4).double()
    objective = create(energy, 1.0)
    x = Streams(3, R).normal(1025, 2, dtype=torch.float64)
    parts = [objective.loss(energy, part, None) for part in x[:, :1024].chunk(2, 1)]
    torch.testing.assert_close(objective.loss(energy, x, None), (parts[0] + parts[1]) / 2)


def test_a_batch_of_one_point_is_refused():
    energy = energies.create("mlp", event_shape=(2,), replicates=R, width=4)
    objective = objectives.create("kernel_stein")
    objective.setup(energy, Streams(0, R).normal(10, 2), Streams(0, R))
    with pytest.raises(InputError, match="batch_size must be >= 2"):
        objective.loss(energy, torch.zeros(R, 1, 2), None)
