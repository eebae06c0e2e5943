"""What papers bring along: closed-form answers."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ebm_bench import datasets, energies, metrics, objectives, registry
from ebm_bench.energies.levels import Interpolant, Levels
from ebm_bench.streams import Streams

FOLDER = Path(__file__).parents[3] / "benchmarks" / "papers"


@pytest.fixture(autouse=True, scope="module")
def load():
    for path in FOLDER.glob("*.py"):
        registry.load(path)


R, D = 2, 6


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
        energy = energy.double()
        energy.fit(3 * Streams(0, replicates=R).normal(500, D, dtype=torch.float64))
        return energy

    def test_it_starts_at_independent_coordinates_at_all_levels(self):
        energy = self.make()
        x = Streams(1, replicates=R).normal(8, D, dtype=torch.float64)
        for t, variance in [(0.0, 1.0), (0.5, 0.5), (0.75, 0.625)]:
            normal = torch.distributions.Normal(energy.location, energy.scale * variance**0.5)
            at = Levels(energy, Interpolant()).at(energy, torch.full((R, 1), t).double())
            torch.testing.assert_close(at(x), -normal.log_prob(x).sum(2))

    def test_neighbouring_levels_differ_by_one_head(self):
        energy = self.make()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in energy.parameters():
                p += torch.randn(p.shape, generator=generator, dtype=p.dtype)
        x = Streams(1, replicates=R).normal(4, D, dtype=torch.float64)
        levels = torch.arange(4, dtype=torch.float64).expand(R, -1) / 4
        points = x[:, :1].expand(-1, 4, -1)  # the same one at each level
        found = Levels(energy, Interpolant()).at(energy, levels)(points)
        torch.testing.assert_close(found[:, 0], energy(x[:, :1])[:, 0])
        u = ((x[:, :1] - energy.location) / energy.scale)[:, 0]
        quadratic = 0.5 * torch.einsum("ri,rkij,rj->rk", u, energy.weights, u)
        learned = quadratic + energy.constants
        spread = energy.scale * torch.tensor([1, 0.625, 0.5, 0.625, 1]).double().sqrt()[:, None]
        normal = torch.distributions.Normal(energy.location, spread)
        base = -normal.log_prob(x[:, :1]).sum(2)  # of the levels, and of the end
        ratios = torch.cat([found, base[:, 4:]], 1).diff(dim=1)
        torch.testing.assert_close(ratios, base.diff(dim=1) + learned)


@pytest.mark.parametrize("learned", [0.0, 0.3, None])
def test_mutual_information_is_the_mean_log_ratio_with_the_learned_constant(learned):
    data = datasets.create("correlated_pairs", dimension=D, correlation=0.8)
    energy = energies.create("quadratic_heads", event_shape=(D,), replicates=R)
    energy.fit(data.sample(50_000, Streams(0, replicates=R)))
    half = torch.eye(D // 2)
    covariance = torch.cat([torch.cat([half, 0.8 * half]), torch.cat([0.8 * half, half])], 1)
    with torch.no_grad():
        energy.weights.copy_(torch.eye(D) - torch.linalg.inv(covariance))
        energy.constants.fill_(data.information)
    metric = metrics.create("mutual_information", points=20_000)
    log_z = None if learned is None else torch.full((R,), learned)
    model = SimpleNamespace(energy=energy, learned_log_z=log_z)
    found = metric(model, data, Streams(1, replicates=R))
    if learned is None:
        assert found == {}
    else:
        assert found["value"].tolist() == pytest.approx([data.information - learned] * R, abs=0.06)


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
