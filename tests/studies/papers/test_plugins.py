"""What papers bring along: closed-form answers."""

import math
from pathlib import Path

import pytest
import torch

from ebm_bench import datasets, energies, metrics, objectives, registry
from ebm_bench.energies.levels import Interpolant, Levels
from ebm_bench.streams import Streams

FOLDER = Path(__file__).parents[3] / "benchmarks" / "papers"
for path in FOLDER.glob("*.py"):
    registry.load(path)

R, D = 2, 6


def gaussian_nll(x, covariance):
    """Energy of a centred Gaussian without its constant, ``½ xᵀ C⁻¹ x``."""
    return 0.5 * torch.einsum("...i,ij,...j", x, torch.linalg.inv(covariance), x)


class TestCorrelatedPairs:
    data = property(lambda _: datasets.create("correlated_pairs", dimension=D, correlation=0.8))

    @property
    def covariance(self):
        half = torch.eye(D // 2, dtype=torch.float64)
        return torch.cat([torch.cat([half, 0.8 * half]), torch.cat([0.8 * half, half])], 1)

    def test_density_score_and_entropy_are_those_of_the_gaussian(self):
        x = Streams(0).normal(5, D, dtype=torch.float64)[0].requires_grad_()
        truth = torch.distributions.MultivariateNormal(
            torch.zeros(D, dtype=torch.float64), self.covariance
        )
        torch.testing.assert_close(self.data.log_prob(x), truth.log_prob(x))
        (score,) = torch.autograd.grad(self.data.log_prob(x).sum(), x)
        torch.testing.assert_close(self.data.score(x), score)
        assert self.data.entropy() == pytest.approx(truth.entropy().item())

    def test_samples_have_the_covariance(self):
        x = self.data.sample(20_000, Streams(0)).double()[0]
        assert (x.T.cov() - self.covariance).abs().max() < 0.05

    def test_information_is_that_of_the_pairs(self):
        marginals = 0.5 * D * math.log(2 * math.pi * math.e)
        assert self.data.information == pytest.approx(marginals - self.data.entropy())
        assert self.data.information == pytest.approx(3 * 0.5108, rel=1e-4)


class TestQuadraticHeads:
    def make(self, heads=4):
        energy = energies.create("quadratic_heads", event_shape=(D,), replicates=R, heads=heads)
        return energy.double()

    def test_each_level_has_its_head_and_all_the_same_log_z(self):
        energy = self.make()
        energy.fit(3 * Streams(0, replicates=R).normal(500, D, dtype=torch.float64))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in (energy.lower, energy.log_diagonal):
                p += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        x = Streams(1, replicates=R).normal(8, D, dtype=torch.float64)
        t = torch.tensor([0, 0.25, 0.5, 0.75, 0.75, 0.5, 0, 0.25]).double().expand(R, -1)
        found = Levels(energy, Interpolant()).at(energy, t)(x)
        torch.testing.assert_close(found[:, [0, 6]], energy(x)[:, [0, 6]])
        for r in range(R):
            for i, head in enumerate((4 * t[r]).long()):
                lower = energy.lower[r, head].tril(-1)
                factor = lower + energy.log_diagonal[r, head].exp().diag()
                density = torch.distributions.MultivariateNormal(
                    energy.location[r, 0], precision_matrix=factor @ factor.T
                )
                expected = -density.log_prob(x[r, i]) - energy.log_z[r]
                torch.testing.assert_close(found[r, i], expected)

    def test_it_starts_at_independent_coordinates_with_the_variances_of_the_levels(self):
        energy = self.make()
        energy.fit(3 * Streams(0, replicates=R).normal(50_000, D, dtype=torch.float64))
        t = torch.full((R, 1), 0.5, dtype=torch.float64)
        x = energy.location[:, :1] + torch.ones(R, 1, D, dtype=torch.float64)
        found = Levels(energy, Interpolant()).at(energy, t)(x)
        variance = 9 * (0.5**2 + 0.5**2)
        expected = 0.5 * D / variance + 0.5 * D * math.log(variance / 9)
        torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0.02, atol=0.02)


class _Known:
    """A model whose log-normaliser was learned, with an error."""

    def __init__(self, energy, error):
        self.energy, self.learned_log_z = energy, energy.log_z.detach() + error


def test_mutual_information_is_that_of_the_model_less_the_error_of_log_z():
    data = datasets.create("correlated_pairs", dimension=D, correlation=0.8)
    energy = energies.create("quadratic_heads", event_shape=(D,), replicates=R)
    energy.fit(data.sample(50_000, Streams(0, replicates=R)))
    half = torch.eye(D // 2)
    covariance = torch.cat([torch.cat([half, 0.8 * half]), torch.cat([0.8 * half, half])], 1)
    factor = torch.linalg.cholesky(torch.linalg.inv(covariance))
    with torch.no_grad():
        energy.lower.copy_(factor)
        energy.log_diagonal.copy_(factor.diagonal().log())
    metric = metrics.create("mutual_information", points=20_000)
    for error in (0.0, 0.3):
        found = metric(_Known(energy, error), data, Streams(1, replicates=R))
        expected = data.information - error
        assert found["value"].tolist() == pytest.approx([expected] * R, abs=0.06)
    nothing = _Known(energy, 0.0)
    nothing.learned_log_z = None
    assert metric(nothing, data, Streams(1, replicates=R)) == {}


def test_unit_moons_have_the_moments_of_half_circles():
    data = datasets.create("unit_moons")
    x = data.sample(40_000, Streams(0))[0].double()
    # By the symmetry of the two the mean is zero; along a half circle x has the variance ½.
    assert x.mean(0).tolist() == pytest.approx([0, 0], abs=0.02)
    assert x[:, 0].var().item() == pytest.approx(0.5 + 0.25 + 0.01, abs=0.02)
    height = 0.5 - 1 / math.pi + 0.25**2 + 0.01  # of (sin − ¼)² and the blur
    assert x[:, 1].square().mean().item() == pytest.approx(height, abs=0.02)
    assert data.entropy() == pytest.approx(-data.log_prob(x).mean().item(), abs=0.02)


class TestOnlineContrastiveDivergence:
    def fit(self, name, n, **settings):
        data = datasets.create("gaussian", dimension=2, condition_number=1.0, mean=3.0)
        x = data.sample(n, Streams(0, replicates=R))
        energy = energies.create("mean_gaussian", event_shape=(2,), replicates=R)
        energy.fit(x)
        objective = objectives.create(name, **settings)
        objective.setup(energy, x, Streams(1, replicates=R))
        return energy.mean.detach()[:, 0], x

    def test_it_finds_the_mean(self):
        found, _ = self.fit("online_contrastive_divergence", 4000)
        assert (found - torch.tensor([3.0, 0.0])).abs().max() < 0.15

    def test_chains_that_forget_the_data_make_one_step_of_half_the_gradient(self):
        # One batch: x⁻ is nearly a draw of N(0, I) whatever x, so that the step is the mean of x.
        settings = {"batch_size": 1000, "steps": 60, "step_size": 1.0, "rate": 0.5}
        found, x = self.fit("online_contrastive_divergence", 1000, **settings)
        assert (found - 0.5 * x.mean(1)).abs().max() < 0.06

    def test_maximum_likelihood_is_the_mean_of_the_data(self):
        found, x = self.fit("sample_mean", 100)
        torch.testing.assert_close(found, x.mean(1))
