import math
from dataclasses import dataclass

import pytest
import torch

from ebm_bench import datasets, energies
from ebm_bench.energies.base import Energy
from ebm_bench.samplers.annealed_importance_sampling import (
    acceptance_ratio,
    annealed_importance_sampling,
)
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Bowl(Energy):
    """A Gaussian that is neither at the base measure nor normalised."""

    mean: float = 0.0
    sd: float = 1.0

    def build(self, streams):
        pass

    def forward(self, x):
        return 0.5 * ((x - self.mean) / self.sd).flatten(2).square().sum(2) + 7

    def truth(self):
        size = math.prod(self.event_shape)
        return size * math.log(self.sd * math.sqrt(2 * math.pi)) - 7


@dataclass(eq=False, kw_only=True, repr=False)
class TwoModes(Energy):
    def build(self, streams):
        pass

    def forward(self, x):
        modes = [
            math.log(weight) - 0.5 * ((x - at) / 0.4).square().sum(2)
            for at, weight in ((2.0, 0.8), (-2.0, 0.2))
        ]
        return -torch.stack(modes).logsumexp(0)


def test_recovers_gaussians_within_its_error():
    energy = Bowl(event_shape=(2, 5), replicates=3, mean=1.0, sd=0.5)
    found = annealed_importance_sampling(energy, Streams(0, 3), levels=300)
    assert ((found.log_z - energy.truth()).abs() < 4 * found.standard_error).all()
    assert (found.standard_error < 0.3).all()
    assert found.details["converged"].sum() >= 2  # chance alone adds two standard errors to a few


def test_recovers_separated_modes_within_its_error():
    energy = TwoModes(event_shape=(2,), replicates=3)
    found = annealed_importance_sampling(energy, Streams(0, 3), chains=64, levels=300)
    truth = math.log(2 * math.pi * 0.16)
    assert ((found.log_z - truth).abs() < 4 * found.standard_error).all()
    assert (found.standard_error < 0.2).all()


@pytest.mark.parametrize(
    ("kind", "name"), [("spline", "banana"), ("affine", "banana"), ("affine", "laplace_ica")]
)
def test_recovers_flows_within_its_error(kind, name):
    """Five flows, each fitted to a sample of its own; their log Z is 0 by construction."""
    dataset = datasets.create(name)
    data = dataset.sample(500, Streams(1, 5))
    energy = energies.create("flow", event_shape=dataset.event_shape, replicates=5, kind=kind)
    energy.fit(data)
    energy.flow.fit(data, Streams(2, 5), steps=60, batch_size=64, learning_rate=5e-3)
    found = annealed_importance_sampling(energy, Streams(0, 5), chains=32, levels=60)
    off = found.log_z / found.standard_error
    assert (off.abs() < 4).all()
    assert off.square().mean() < 3
    assert (found.standard_error < 0.25).all()
    assert (found.standard_error > 0.01).all()  # the flow is not the base measure


def test_the_error_it_states_is_the_error_it_makes():
    energy = Bowl(event_shape=(2,), replicates=300, mean=0.7, sd=0.8)
    found = annealed_importance_sampling(energy, Streams(0, 300), chains=50, levels=8)
    stated = found.standard_error.square().mean().sqrt()
    assert found.log_z.std().item() == pytest.approx(stated.item(), rel=0.2)


@dataclass
class Normal:
    """A Gaussian as a proposal."""

    mean: float
    sd: float
    size: int

    def sample(self, n, streams):
        return self.mean + self.sd * streams.normal(n, self.size)

    def log_prob(self, x):
        constant = self.size * math.log(self.sd * math.sqrt(2 * math.pi))
        return -0.5 * ((x - self.mean) / self.sd).square().sum(-1) - constant


def test_a_proposal_near_the_model_spares_levels():
    energy = Bowl(event_shape=(200,), replicates=2, mean=1.0, sd=0.3)
    near = Normal(1.02, 0.32, 200)
    found = annealed_importance_sampling(energy, Streams(0, 2), 64, 60, proposal=near)
    assert (found.details["converged"] == 1).all()
    assert ((found.log_z - energy.truth()).abs() < 4 * found.standard_error).all()
    assert (found.standard_error < 0.25).all()


@pytest.mark.parametrize("near", [Normal(0.0, 0.05, 3), Normal(4.0, 0.3, 3), Normal(0.0, 9.0, 3)])
def test_mass_where_the_proposal_has_none_is_not_lost(near):
    """Half of the chains of the pilot run, and then most of them, start at the base measure."""
    energy = Bowl(event_shape=(3,), replicates=4)
    found = annealed_importance_sampling(energy, Streams(0, 4), 64, 100, proposal=near)
    assert ((found.log_z - energy.truth()).abs() < 4 * found.standard_error).all()
    assert (found.details["converged"] == 1).all()


@dataclass(eq=False, kw_only=True, repr=False)
class Trap(Energy):
    """A broad Gaussian, and a narrow one elsewhere that outweighs it halfway along the path.

    The base measure is far from the broad one: their product at half the energy has a mass of
    e^-14 in 50 dimensions, and that of the narrow one is the root of its weight.
    """

    log_weights: tuple[float, ...] = (-12.0,)

    def build(self, streams):
        pass

    def forward(self, x):
        size = x.shape[2]
        broad = 0.5 * (x + 1.5).square().sum(2) + size / 2 * math.log(2 * math.pi)
        narrow = -Normal(4.0, 0.1, size).log_prob(x) - torch.tensor(self.log_weights)[:, None]
        return -torch.logaddexp(-broad, -narrow)

    def truth(self):
        return torch.tensor(self.log_weights, dtype=torch.float64).exp().log1p()


def test_the_best_start_is_where_the_mass_is_found_from():
    energy = Trap(event_shape=(50,), replicates=2, log_weights=(-12.0, 12.0))
    near = Normal(4.0, 0.1, 50)
    half, best = (
        annealed_importance_sampling(energy, Streams(0, 2), 64, 300, None, near, choose)
        for choose in (False, True)
    )
    assert half.log_z[0] < -2
    assert half.details["converged"].tolist() == [0, 1]
    assert (best.details["converged"] == 1).all()
    assert ((best.log_z - energy.truth()).abs() < 4 * best.standard_error).all()
    torch.testing.assert_close(best.log_z[1], half.log_z[1])  # the proposal is its best start


def test_a_start_that_finds_some_of_the_mass_is_kept():
    """A quarter of the mass is in the narrow mode, and no chain from the base measure finds it."""
    energy = Trap(event_shape=(50,), log_weights=(-1.0,))
    near = Normal(4.0, 0.1, 50)
    half, best = (
        annealed_importance_sampling(energy, Streams(0), 32, 60, None, near, choose)
        for choose in (False, True)
    )
    assert torch.equal(half.log_z, best.log_z)


@pytest.mark.parametrize("start", [None, Normal(0.9, 0.5, 1)])
def test_weights_are_unbiased_wherever_they_start(start):
    energy = Bowl(event_shape=(1,), replicates=300, mean=0.7, sd=0.8)
    found = annealed_importance_sampling(energy, Streams(0, 300), 20, 4, proposal=start)
    ratios = (found.log_z - energy.truth()).exp()
    error = ratios.std() / 300**0.5
    assert error < 0.03
    assert (ratios.mean() - 1).abs() < 4 * error


def test_is_exact_for_the_base_measure():
    energy = Bowl(event_shape=(3,), replicates=2)
    found = annealed_importance_sampling(energy, Streams(0, 2), chains=8, levels=10)
    torch.testing.assert_close(found.log_z, torch.full((2,), energy.truth()).double())
    torch.testing.assert_close(
        found.details["effective_sample_size"], torch.full((2,), 8.0).double()
    )


def test_says_when_it_has_not_converged():
    energy = Bowl(event_shape=(200,), mean=1.0, sd=0.3)
    found = annealed_importance_sampling(energy, Streams(0), levels=20)
    assert found.log_z < energy.truth() - 10
    assert found.details["converged"] == 0


def test_keeps_what_is_not_finite():
    energy = Bowl(event_shape=(2,), replicates=1, mean=math.nan)
    assert annealed_importance_sampling(energy, Streams(0), levels=5).log_z.isnan().all()


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("start", [None, Normal(2.0, 0.4, 2)])
def test_a_replicate_alone_equals_itself_among_others(start, best):
    among, alone = (
        annealed_importance_sampling(
            TwoModes(event_shape=(2,), replicates=len(r)), Streams(0, r), 64, 80, None, start, best
        )
        for r in ([0, 1, 2], [2])
    )
    torch.testing.assert_close(alone.log_z, among.log_z[2:])
    torch.testing.assert_close(alone.details["missing"], among.details["missing"][2:])


def test_bennett_is_exact_for_gaussian_work():
    """Log-weights N(c − s²/2, s²) forward have N(c + s²/2, s²) backward, whose ratio is c."""
    z = Streams(0, 2).child("z").normal(2, 100_000, dtype=torch.float64)
    forward, backward = 3 - 0.5 + z[:, 0], 3 + 0.5 + z[:, 1]
    found = acceptance_ratio(forward, backward[:, :50_000])
    torch.testing.assert_close(found, torch.full((2,), 3.0).double(), atol=0.02, rtol=0)
    broken = acceptance_ratio(forward[:1], torch.full((1, 3), torch.nan))
    assert broken.isnan().all()


def test_chains_from_exact_data_agree_however_few_the_levels():
    """Only if the way back reverses each transition do both directions have one ratio."""
    energy = Bowl(event_shape=(1,), replicates=2, mean=0.7, sd=0.6)
    data = 0.7 + 0.6 * Streams(1, 2).normal(40_000, 1)
    found = annealed_importance_sampling(energy, Streams(0, 2), 40_000, levels=3, data=data)
    assert (found.standard_error < 0.01).all()
    assert (found.details["missing"].abs() < 0.02).all()
    assert (found.details["converged"] == 1).all()


def test_data_tell_of_a_mode_that_no_chain_finds():
    energy = Hidden(event_shape=(2,), replicates=4)
    data = 0.3 * Streams(1, 4).normal(400, 2)
    data[:, :200] += 4.0
    alone = annealed_importance_sampling(energy, Streams(0, 4), 64, 100)
    told = annealed_importance_sampling(energy, Streams(0, 4), 64, 100, data)
    assert (alone.details["converged"] == 1).any()  # for want of anything to tell
    torch.testing.assert_close(told.log_z, alone.log_z)
    assert (told.details["converged"] == 0).all()
    assert (told.details["missing"] > 0.4)[alone.details["converged"] == 1].all()


@dataclass(eq=False, kw_only=True, repr=False)
class Hidden(Energy):
    """Half of the mass in the middle, half where the base measure has almost none."""

    def build(self, streams):
        pass

    def forward(self, x):
        squares = [((x - at) / 0.3).square().sum(2) for at in (0.0, 4.0)]
        return -torch.stack([-0.5 * square for square in squares]).logsumexp(0)
