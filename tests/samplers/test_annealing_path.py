"""Paths between densities: their start, their levels, and what the pilot run finds."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from ebm_bench import energies
from ebm_bench.samplers.annealing_path import Path, Start, _next, find
from ebm_bench.streams import Streams


class Shifted:
    """A proposal of which each coordinate is N(1, 0.5²)."""

    def sample(self, n, streams):
        return 1 + 0.5 * streams.normal(n, 3)

    def log_prob(self, x):
        return Independent(Normal(torch.ones(3).to(x), 0.5), 1).log_prob(x)


def narrow(replicates=2):
    """A Gaussian energy that is narrower than its base measure."""
    energy = energies.create("quadratic", event_shape=(3,), replicates=replicates)
    energy.location.fill_(0.3)
    energy.scale.fill_(1.7)
    energy.log_diagonal.data.fill_(math.log(20))
    return energy.requires_grad_(False)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_start_is_the_mixture_that_it_says(share):
    start = Start(narrow(), Shifted())
    start.share = torch.full((2, 1), share, dtype=torch.float64)
    u = Streams(1, 2).normal(50, 3, dtype=torch.float64)
    point = u.clone().requires_grad_()
    x = 0.3 + 1.7 * point
    base = Independent(Normal(torch.full((3,), 0.3).double(), 1.7), 1).log_prob(x)
    mixed = torch.logaddexp(math.log(share) + base, math.log(1 - share) + Shifted().log_prob(x))
    expected = -mixed - start.log_volume
    (slope,) = torch.autograd.grad(expected.sum(), point)
    value, pull = start(u)
    torch.testing.assert_close(value, expected.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pull, slope, atol=1e-5, rtol=1e-5)


class Cube(Shifted):
    """A proposal whose density has no gradient, and is 0 beyond a cube."""

    def log_prob(self, x):
        return torch.where(x.abs().amax(-1) < 2, -3 * math.log(4), -math.inf).to(x)


def test_a_density_that_jumps_can_be_a_start():
    start, u = Start(narrow(), Cube()), Streams(1, 2).normal(50, 3)
    value, pull = start(u)
    beyond = (0.3 + 1.7 * u).abs().amax(2) >= 2
    assert beyond.any()
    torch.testing.assert_close(value[beyond], 0.5 * u.square().sum(2)[beyond] + math.log(2))
    torch.testing.assert_close(pull[beyond], u[beyond])
    assert pull.isfinite().all()


def test_draws_of_the_start_are_of_the_parts_that_they_say():
    start = Start(narrow(), Shifted())
    share = torch.tensor([[0.25], [0.75]], dtype=torch.float64)
    u, of_base = start.draw(20_000, Streams(0, 2), share)
    assert of_base.sum(1).tolist() == [5_000, 15_000]
    assert torch.equal(start.share, share)
    x = 0.3 + 1.7 * u
    for r in range(2):
        assert x[r][of_base[r]].std().item() == pytest.approx(1.7, rel=0.03)
        assert x[r][~of_base[r]].mean().item() == pytest.approx(1, abs=0.03)
        assert x[r][~of_base[r]].std().item() == pytest.approx(0.5, rel=0.03)


def test_neither_part_of_the_start_gets_no_chains():
    start = Start(narrow(), Shifted())
    none_or_all = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for chains, least in ((80, 10), (9, 1), (2, 1)):
        _, of_base = start.draw(chains, Streams(0, 2), none_or_all)
        assert of_base.sum(1).tolist() == [least, chains - least]
        torch.testing.assert_close(start.share[:, 0], of_base.double().mean(1))
    alone = Start(narrow())
    assert alone.draw(7, Streams(0, 2), none_or_all)[1].all()
    assert (alone.share == 1).all()


def test_a_divided_path_keeps_its_ends_its_order_and_its_evenness():
    betas = torch.tensor([[0, 0.01, 0.1, 1.0, 1.0], [0, 0.2, 0.3, 0.6, 1.0]]).double()
    steps = torch.tensor([[3, 2, 1, 9.0], [4, 3, 2, 1.0]]).double()
    path = Path(betas, steps).divide(12)
    assert path.betas.shape == (2, 13)
    assert path.steps.shape == (2, 12)
    torch.testing.assert_close(path.betas[:, ::4][0], betas[0, :4])
    torch.testing.assert_close(path.betas[:, ::3][1], betas[1])
    assert path.steps[0].tolist() == [3] * 4 + [2] * 4 + [1] * 4
    assert (path.betas.diff() > 0).all()
    few = Path(betas, steps).divide(2).betas
    assert few[:, 0].tolist() == [0, 0]
    assert few[:, -1].tolist() == [1, 1]


def test_a_level_goes_as_far_as_the_conditional_effective_sample_size_allows():
    excess = 30 * Streams(0, 3).normal(200, dtype=torch.float64)
    weights = Streams(1, 3).normal(200, dtype=torch.float64)
    beta = torch.tensor([[0.0], [0.2], [0.5]]).double()
    step = _next(beta, weights, excess, least=0.0) - beta
    gain, share = (-step * excess).exp(), weights.softmax(1)
    size = (share * gain).sum(1).square() / (share * gain.square()).sum(1)
    torch.testing.assert_close(size, torch.full((3,), 0.9).double())
    assert (_next(beta, weights, excess, least=0.7) == 0.7).all()
    assert (_next(beta, weights, 0 * excess, least=0.0) == 1).all()


@pytest.mark.parametrize("proposal", [None, Shifted()])
def test_the_pilot_run_spreads_the_weights_evenly(proposal):
    """Of a Gaussian twenty times narrower, whose levels by any power of k are uneven."""
    energy = narrow(replicates=3)
    path, log_ratio, share, ends = find(energy, Start(energy, proposal), Streams(0, 3), 200, 200)
    truth = energy.log_z.detach()[:, None] - Start(energy).log_volume
    torch.testing.assert_close(log_ratio, truth, atol=1.5, rtol=0)
    assert (path.betas[:, -1] == 1).all()
    assert path.steps.shape[1] < 60
    assert (path.betas.diff() >= 0).all()
    # The first levels are far shorter than the last.
    assert (path.betas[:, 1] < 0.01).all()
    x = 0.3 + 1.7 * ends
    assert (x.std(1) < 0.1).all()
    assert ((share >= 0) & (share <= 1)).all()


def test_paths_end_however_few_the_levels():
    energy = narrow()
    for levels in (1, 2, 5):
        path = find(energy, Start(energy), Streams(0, 2), 20, levels).path
        assert (path.betas[:, -1] == 1).all()
        assert path.steps.shape[1] <= levels


def test_a_replicate_does_not_depend_on_how_long_the_paths_of_others_are():
    found = []
    for replicates in ([0, 1, 2], [0]):
        energy = narrow(len(replicates))
        energy.log_diagonal.data.copy_(torch.tensor([[1.0], [30.0], [300.0]])[replicates].log())
        found.append(find(energy, Start(energy), Streams(0, replicates), 50, 100))
    (among, *parts), (alone, *own_parts) = found
    length = alone.steps.shape[1]
    assert length < among.steps.shape[1]
    torch.testing.assert_close(alone.betas, among.betas[:1, : length + 1])
    torch.testing.assert_close(alone.steps, among.steps[:1, :length])
    for own, part in zip(own_parts, parts, strict=True):
        torch.testing.assert_close(own, part[:1])
