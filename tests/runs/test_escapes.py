"""Models whose mass lies far from the data."""

import math
from dataclasses import dataclass

import pytest
import torch

from ebm_bench import datasets, energies
from ebm_bench.energies.base import Energy
from ebm_bench.records import ESCAPED_ABOVE
from ebm_bench.runs import escapes
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Two(Energy):
    """A Gaussian at the centre, and a share of the mass in another at a distance."""

    share: float = 0.1
    at: tuple[float, ...] = (15.0, 0.0)
    sd: float = 1.0
    far_sd: float = 1.0

    def build(self, streams):
        pass

    def forward(self, x):
        d = self.event_shape[0]
        there = torch.zeros(d)
        there[: len(self.at)] = torch.tensor(self.at)
        near = math.log(1 - self.share) - 0.5 * (x / self.sd).square().sum(2)
        far = -0.5 * ((x - there) / self.far_sd).square().sum(2)
        far = far + math.log(self.share) - d * math.log(self.far_sd / self.sd)
        return -torch.logaddexp(near, far)


def model_of(energy, dataset=None):
    return Model(energy, dataset or datasets.create("eight_gaussians"), None, Streams(0, 2))


def outside(energy, dataset=None):
    return escapes.outside(model_of(energy, dataset))


@pytest.mark.parametrize("sd", [1.0, 0.3])
@pytest.mark.parametrize("at", [(15.0, 0.0), (-12.0, 12.0), (0.3, -14.0)], ids=str)
@pytest.mark.parametrize("share", [0.9, 0.1, 0.03])
def test_the_share_of_a_mode_far_away_is_summed(share, at, sd):
    found = outside(Two(event_shape=(2,), replicates=2, share=share, at=at, sd=sd))
    assert found.tolist() == pytest.approx([share] * 2, rel=1e-2)
    assert (found > ESCAPED_ABOVE).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"share": 0.005},
        {"share": 0.5, "at": (5.5, 0.0), "far_sd": 0.3},  # beyond the box of 4.8, by leaking
        {"share": 0.5, "at": (5.5, -5.5), "far_sd": 0.3},
        {"share": 0.5, "at": (2.0, 0.0)},
        {"share": 1e-6, "sd": 2.5},  # a little broader than the data
    ],
    ids=str,
)
def test_what_stays_near_has_not_escaped(settings):
    found = outside(Two(event_shape=(2,), replicates=2, **settings))
    assert (found <= ESCAPED_ABOVE).all()


@dataclass(eq=False, kw_only=True, repr=False)
class Falling(Energy):
    """An energy that falls, or is no number, away from the data."""

    slope: float = 1.0

    def build(self, streams):
        pass

    def forward(self, x):
        r = x.norm(dim=2)
        return torch.where(r < 4, 0.5 * r.square(), 8 - self.slope * (r - 4))


def test_an_energy_without_a_normaliser_has_escaped():
    assert (outside(Falling(event_shape=(2,), replicates=2)) > 0.9).all()
    assert (outside(Falling(event_shape=(2,), replicates=2, slope=100.0)) > 0.9).all()


def test_where_the_normaliser_is_no_number_nothing_is_claimed():
    assert outside(Falling(event_shape=(2,), replicates=2, slope=math.nan)).isnan().all()


def quadratic(shift, d=2):
    energy = energies.create("quadratic", event_shape=(d,), replicates=2)
    energy.mean.data.add_(torch.tensor([0.0, shift]).view(2, 1, 1))
    return energy


def test_models_with_exact_samples_are_sampled():
    found = outside(quadratic(11.0))
    assert found[0] == 0
    assert found[1] > 0.5


@dataclass(eq=False, kw_only=True, repr=False)
class Shifted(Energy):
    """A Gaussian somewhere that does not know its normaliser."""

    at: float = 0.0

    def build(self, streams):
        pass

    def forward(self, x):
        return 0.5 * (x - self.at).square().sum(2)


def test_beyond_the_plane_converged_annealed_importance_sampling_tells():
    ring = datasets.create("ring")
    model = model_of(Shifted(event_shape=ring.event_shape, replicates=2, at=2.0), ring)
    assert escapes.outside(model).isnan().all()  # nothing has been estimated
    found = model.normaliser(chains=32, levels=200)
    points, weights = found.chains
    weighted = (weights[:, :, None] * points).sum(1)
    torch.testing.assert_close(weighted, torch.full_like(weighted, 2.0), rtol=0, atol=0.7)
    assert (escapes.outside(model)[found.details["converged"] == 1] == 0).all()
    points[:, :16] += 20
    found.details["effective_sample_size"].fill_(32.0)
    found.details["converged"].copy_(torch.tensor([1.0, 0.0]))
    first, second = escapes.outside(model).tolist()
    assert 0.2 < first < weights[0, :16].sum()
    assert math.isnan(second)


def test_a_share_of_few_samples_is_bounded_from_below():
    one = torch.ones(1, dtype=torch.bool)
    bound = escapes._at_least(torch.tensor([2 / 16]), torch.tensor([16.0]), one)
    assert bound.item() == pytest.approx(0.0155, abs=1e-3)  # Clopper and Pearson 1934
    assert escapes._at_least(torch.tensor([0.0]), torch.tensor([16.0]), one) == 0
    assert escapes._at_least(torch.tensor([1.0]), torch.tensor([16.0]), ~one).isnan()


def test_images_have_no_box():
    class Images:
        event_shape = (1, 8, 8)

    energy = energies.create("conv", event_shape=(1, 8, 8), replicates=2)
    assert outside(energy, Images()).isnan().all()
