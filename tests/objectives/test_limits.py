"""Where objectives are known to fail, they fail as measured elsewhere."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ebm_bench import datasets, energies, objectives
from ebm_bench.energies.base import Energy
from ebm_bench.metrics.grid import lattice
from ebm_bench.nn.layers import Dense
from ebm_bench.optim.adam import Optimiser
from ebm_bench.streams import Streams


def signal_to_noise(energy, x, sigma, parameters):
    """Length of the mean gradient over replicates, in standard deviations of the gradient."""
    objective = objectives.create("denoising_score_matching", sigma=sigma)
    objective.setup(energy, x, None)
    loss = objective.loss(energy, x, Streams(3, len(x)))
    slopes = torch.autograd.grad(loss.sum(), parameters, materialize_grads=True)
    flat = torch.cat([slope.flatten(1) for slope in slopes], 1)
    return (flat.mean(0).norm() / flat.var(0).sum().sqrt()).item()


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3, 1.0])
def test_denoising_gradient_has_the_noise_of_a_gaussian(sigma):
    """In one dimension, with δ = a(1 + σ²) − 1 at precision a: √B δ / √(2δ² + 1/σ²)."""
    replicates, batch, a = 4000, 64, 2.0
    energy = energies.create("quadratic", event_shape=(1,), replicates=replicates).double()
    torch.nn.init.constant_(energy.log_diagonal, 0.5 * math.log(a))
    x = Streams(0, replicates).normal(batch, 1, dtype=torch.float64)
    delta = a * (1 + sigma**2) - 1
    expected = math.sqrt(batch) * delta / math.sqrt(2 * delta**2 + sigma**-2)
    found = signal_to_noise(energy, x, sigma, [energy.log_diagonal])
    assert found == pytest.approx(expected, rel=0.05, abs=4 / math.sqrt(replicates))


def test_denoising_gradient_drowns_as_the_noise_shrinks():
    """A fresh network on eight Gaussians, in batches of 512; the measured values are recorded.

    From forty draws of a batch no ratio under 1/√40 = .16 can be told from none.
    """
    dataset, replicates = datasets.create("eight_gaussians"), 40
    one = energies.create("mlp", event_shape=(2,))
    energy = energies.create("mlp", event_shape=(2,), replicates=replicates)
    weights = {k: v.expand(replicates, *v.shape[1:]) for k, v in one.state_dict().items()}
    energy.load_state_dict(weights)
    energy.fit(dataset.sample(512, Streams(0)).expand(replicates, -1, -1))
    x = dataset.sample(512, Streams(1, replicates))
    sigmas = (0.01, 0.1, 0.3, 1.0)
    found = [signal_to_noise(energy, x, sigma, list(energy.parameters())) for sigma in sigmas]
    assert found == pytest.approx([0.11, 0.36, 1.25, 4.2], rel=0.25, abs=0.1)


@dataclass(eq=False, kw_only=True, repr=False)
class Bare(Energy):
    """A network alone, without a Gaussian base, differentiated automatically."""

    activation: str = "ReLU"

    def build(self, streams):
        inner = Dense(2, 32, streams, gain=1.0, spread=1.0), Dense(32, 32, streams, spread=0.5)
        act = getattr(nn, self.activation)
        self.network = nn.Sequential(inner[0], act(), inner[1], act(), Dense(32, 1, streams))

    def forward(self, x):
        return self.network(x).squeeze(2)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("ReLU", math.log(100)), ("SiLU", 2.887), ("Softplus", 2.873)],
)
def test_a_piecewise_linear_energy_learns_to_be_flat(activation, expected):
    """Exact score matching on eight Gaussians: NLL over a box of area 100, in nats.

    Without a second derivative only ½‖∇E‖² is left, and a flat energy is best: that is why
    such energies are refused. Smooth ones come near the entropy, 2.832.
    """
    dataset, streams, steps = datasets.create("eight_gaussians"), Streams(1), 400
    energy = Bare(event_shape=(2,), streams=streams.child("weights"), activation=activation)
    objective = objectives.create("exact_score_matching")
    objective.setup(energy, dataset.sample(2, streams), streams)
    optimiser = Optimiser([list(energy.parameters())], 1, 2e-2, 1.0, steps)
    for step in range(steps):
        optimiser.step(objective.loss(energy, dataset.sample(128, streams), streams), step)
    points, cell = lattice(((-5.0, 5.0), (-5.0, 5.0)), 200, energy.location)
    with torch.no_grad():
        log_z = (-energy(points[None])).logsumexp(1) + cell.log().sum()
        found = energy(dataset.sample(5000, streams)).mean(1) + log_z
    assert found.item() == pytest.approx(expected, abs=0.15)
    assert found > 2.8
