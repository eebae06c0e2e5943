"""Energies at noise levels, beside mixtures whose smoothed density is known."""

from dataclasses import dataclass

import pytest
import torch

from ebm_bench import datasets, metrics, objectives
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams

OBJECTIVES = ["multi_noise_denoising", "diffusion_recovery_likelihood", "telescoping_ratio"]
MIXTURES = ["eight_gaussians", "grid_gaussians", "weighted_gaussians"]


@dataclass(eq=False, kw_only=True, repr=False)
class Exact(Energy):
    """A mixture at every level, up to a constant; turned about or at levels too far if asked."""

    levels = True
    sign: float = 1.0
    wider: float = 0.0
    first: float = 0.0

    def build(self, streams):
        self.location.add_(torch.tensor([0.3, -0.2]))
        self.scale.mul_(torch.tensor([2.0, 1.5]))

    def forward(self, x):
        return self.smoothed(x, torch.ones(1, 1, 2), torch.zeros(1, 1, 2))

    def smoothed(self, x, share, variance):
        data = self.dataset
        centres = self.location + share * (data.centres.to(x) - self.location)
        width = share.square() * (data.sd**2 + self.first**2) + variance + self.wider
        squares = ((x.unsqueeze(2) - centres.unsqueeze(1)).square() / width.unsqueeze(2)).sum(3)
        return -self.sign * torch.logsumexp(data.weights.log().to(x) - 0.5 * squares, 2)


def measure(objective="multi_noise_denoising", dataset="eight_gaussians", **changes):
    data, criterion = datasets.create(dataset), objectives.create(objective)
    energy = Exact(event_shape=(2,), replicates=2, first=criterion.smoothing or 0.0, **changes)
    energy.dataset = data
    criterion.build(energy)
    model = Model(energy, data, None, Streams(3, 2), objective=criterion)
    return metrics.create("level_fisher_divergence", points=500)(model, data, model.streams)


@pytest.mark.parametrize("dataset", MIXTURES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_exact_smoothed_energy_has_none(objective, dataset):
    for part, values in measure(objective, dataset).items():
        assert (values < 1e-9).all(), part


@pytest.mark.parametrize("change", [{"sign": -1.0}, {"wider": 0.1}])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_wrong_sign_or_level_is_seen_at_each(objective, change):
    found = measure(objective, **change)
    assert all((found[f"level_{i}"] > 1e-4).all() for i in range(5)), found
    mean = sum(found[f"level_{i}"] for i in range(5)) / 5
    torch.testing.assert_close(found["value"], mean, rtol=1e-6, atol=0)


def test_energies_without_levels_are_refused():
    data = datasets.create("eight_gaussians")
    criterion = objectives.create("denoising_score_matching")
    model = Model(Exact(event_shape=(2,)), data, None, Streams(3, 1), objective=criterion)
    with pytest.raises(InputError, match=r"trained at noise levels.*multi_noise_denoising"):
        metrics.create("level_fisher_divergence")(model, data, model.streams)


@pytest.mark.parametrize("dataset", MIXTURES)
def test_without_noise_it_is_the_score(dataset):
    data = datasets.create(dataset)
    x = data.sample(50, Streams(1, 2)).double()
    one, zero = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
    torch.testing.assert_close(data.smoothed_score(x, zero, one, zero), data.score(x))
