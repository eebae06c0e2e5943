"""Known answers in the plane, and a case where each metric must be bad."""

import math
from dataclasses import dataclass

import ot
import pytest
import torch

from ebm_bench import metrics
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.metrics.grid import integrate
from ebm_bench.metrics.sliced_wasserstein import spaced

LOG_2PI = math.log(2 * math.pi)


@dataclass(eq=False, kw_only=True, repr=False)
class Lopsided(Energy):
    """The density of a toy with more weight on the right."""

    def build(self, streams):
        pass

    def forward(self, x):
        return -self.dataset.log_prob(x) - (x[..., 0] > 0) * math.log(3)


def measure(name, model, **settings):
    return metrics.create(name, **settings)(model, model.dataset, model.streams)


def close(found, expected, tolerance):
    torch.testing.assert_close(
        found.double(), torch.full_like(found, expected).double(), rtol=0, atol=tolerance
    )


def within_errors(result, expected, errors=4):
    assert ((result["value"] - expected).abs() < errors * result["standard_error"]).all()


def test_log_z_in_closed_form(bowl):
    result = measure("log_z", bowl(sd=0.7, offset=2.0))
    close(result["value"], LOG_2PI + 2 * math.log(0.7) - 2, 1e-4)
    assert (result["converged"] == 1).all()


@pytest.mark.parametrize("sd", [0.03, 1.0, 6.0])
def test_the_grid_grows_and_refines_until_it_fits(sd):
    energy = Bowl(event_shape=(2,), replicates=1, sd=sd)
    grid = integrate(energy, ((-3.0, 3.0), (-2.0, 2.0)), cells=64)
    close(grid.log_z, LOG_2PI + 2 * math.log(sd), 2e-3)
    assert grid.converged.all()


def test_a_density_without_normaliser_is_reported_as_not_converged():
    energy = Bowl(event_shape=(2,), replicates=2, sd=1e6)
    grid = integrate(energy, ((-3.0, 3.0), (-3.0, 3.0)), cells=64, most=256)
    assert not grid.converged.any()
    assert grid.log_z.isfinite().all()


def test_grid_samples_follow_the_density(bowl):
    x = bowl(mean=1.0, sd=0.5).samples(20_000)
    close(x.mean(1), 1.0, 4 * 0.5 / 20_000**0.5)
    close(x.std(1), 0.5, 4 * 0.5 / 40_000**0.5)


def test_a_grid_is_refused_beyond_the_plane(bowl):
    with pytest.raises(InputError, match="two dimensions"):
        _ = bowl(dimension=3).grid


@pytest.mark.parametrize("name", ["eight_gaussians", "two_moons", "checkerboard"])
def test_the_truth_has_no_divergence(name, truth_of):
    result = measure("kl_divergence", truth_of(name))
    close(result["value"], 0.0, 2e-3)
    assert (result["converged"] == 1).all()


def test_kl_divergence_of_shifted_and_stretched_gaussians(bowl):
    close(measure("kl_divergence", bowl(mean=0.8))["value"], 0.8**2, 1e-4)
    stretched = 2 * (math.log(2) + 0.5 / 4 - 0.5)
    close(measure("kl_divergence", bowl(sd=2.0))["value"], stretched, 1e-3)


def test_kl_divergence_is_infinite_where_the_model_has_no_mass(truth_of):
    model = truth_of("eight_gaussians")
    model.energy.dataset = truth_of("checkerboard").dataset
    assert (measure("kl_divergence", model)["value"] == math.inf).all()


@pytest.mark.parametrize("dimension", [2, 4])
def test_negative_log_likelihood_by_grid_and_by_sampling(dimension, bowl):
    result = measure("negative_log_likelihood", bowl(dimension, mean=0.5, offset=1.0))
    entropy = 0.5 * dimension * (LOG_2PI + 1)
    excess = 0.5 * dimension * 0.25
    within_errors(result, entropy + excess)
    within_errors({**result, "value": result["gap"]}, excess)
    assert (result["converged"] == 1).all()


def test_fisher_divergence_of_shifted_gaussians(bowl):
    close(measure("fisher_divergence", bowl(mean=0.8))["value"], 2 * 0.8**2, 1e-4)
    within_errors(measure("fisher_divergence", bowl(sd=2.0)), 2 * 0.75**2)


def test_fisher_divergence_is_blind_to_the_weights_of_modes(truth_of):
    assert (
        measure("fisher_divergence", truth_of("weighted_gaussians", Lopsided))["value"] < 0.05
    ).all()


def test_mode_mass_error(truth_of):
    close(measure("mode_mass_error", truth_of("weighted_gaussians"))["value"], 0.0, 1e-3)
    lopsided = measure("mode_mass_error", truth_of("weighted_gaussians", Lopsided))
    close(lopsided["value"], 0.8 * 3 / 2.6 - 0.8, 1e-3)


def test_energy_distance_scatters_about_its_expectation(bowl):
    model = bowl(replicates=60)
    values = measure("energy_distance", model, points=200)["value"]
    assert values.mean().abs() < 4 * values.std() / 60**0.5
    assert (values < 0).any()
    shifted = measure("energy_distance", bowl(mean=0.8), points=2000)["value"]
    # Distances between planar Gaussians that are d apart, from their Rice distribution.
    d = torch.tensor(0.8 * 2**0.5 / 2**0.5, dtype=torch.float64)
    q = d**2 / 4
    rice = (
        math.sqrt(math.pi / 2)
        * 2**0.5
        * (torch.special.i0e(q) * (1 + 2 * q) + 2 * q * torch.special.i1e(q))
    )
    close(shifted, float(2 * rice - 2 * math.sqrt(math.pi)), 0.1)


def test_sliced_wasserstein_agrees_with_another_implementation(bowl):
    model = bowl(mean=0.8)
    found = measure("sliced_wasserstein", model, points=300)["value"]
    y = model.dataset.sample(300, model.streams.child("data"))
    directions = spaced(2, 100, model.streams.child("projections"))
    for r in range(2):
        expected = ot.sliced.sliced_wasserstein_distance(
            model.samples(300)[r], y[r], projections=directions[r]
        )
        assert found[r].item() == pytest.approx(expected.item(), rel=1e-5)
    close(found, 0.8, 0.15)
    assert (measure("sliced_wasserstein", bowl())["value"] < 0.1).all()


@pytest.mark.parametrize("dimension", [2, 5])
def test_hyvarinen_score_of_gaussians(dimension, bowl):
    within_errors(measure("hyvarinen_score", bowl(dimension)), -dimension / 2)
    worse = 0.5 * dimension / 16 - dimension / 4
    within_errors(measure("hyvarinen_score", bowl(dimension, sd=2.0)), worse)


def test_hyvarinen_score_is_not_defined_where_the_score_jumps(bowl, monkeypatch):
    model = bowl()
    monkeypatch.setattr(type(model.energy), "smooth", False)
    assert measure("hyvarinen_score", model)["value"].isnan().all()


def test_denoising_error_of_gaussians(bowl):
    """The step leaves (1 − σ²/s²)² σ² of the noise and moves the data by σ²/s²."""
    for sd in (1.0, 0.6):
        result = measure("denoising_error", bowl(sd=sd), points=5000)
        for part, sigma in {"value": 0.3, "third_of_sigma": 0.1, "thrice_sigma": 0.9}.items():
            pull = sigma**2 / sd**2
            expected = (1 - pull) ** 2 * sigma**2 + pull**2
            close(result[part], expected, 0.06 * expected)
        within_errors(result, 0.3**2 * (1 - 0.09 / sd**2) ** 2 + (0.09 / sd**2) ** 2)


def test_log_z_error(bowl):
    assert measure("log_z_error", bowl()) == {}
    result = measure("log_z_error", bowl(learned=LOG_2PI - 0.5))
    close(result["value"], 0.5, 1e-4)
    close(result["signed"], -0.5, 1e-4)
    sampled = measure("log_z_error", bowl(4, learned=0.0, mean=0.5))
    within_errors({**sampled, "value": sampled["signed"]}, -2 * LOG_2PI)


def test_samples_beyond_the_plane_come_from_the_sampler(bowl):
    model = bowl(3, mean=2.0)
    x = model.samples(500)
    assert x is model.samples(500)
    start = model.streams.child("samples")
    expected = model.sampler.run(model.energy, start.normal(500, 3), start)
    torch.testing.assert_close(x, expected)


def test_exact_samplers_are_used_where_there_are_any(bowl):
    model = bowl(3)
    model.energy.sample = lambda n, streams: streams.normal(n, 3) + 100
    assert (model.samples(10) > 90).all()


@dataclass(eq=False, kw_only=True, repr=False)
class Bowl(Energy):
    sd: float = 1.0

    def build(self, streams):
        pass

    def forward(self, x):
        return 0.5 * (x / self.sd).square().sum(2)
