import pytest
import torch
from torch import nn

from ebm_bench.optim.adam import Optimiser


def make(steps=10, clip=1.0, rate=0.1):
    stacked = nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
    single = [nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3)]
    for replicate, parameter in enumerate(single):
        parameter.replicate = replicate
    optimiser = Optimiser([[stacked, *single]], 3, rate, clip, steps)
    return optimiser, stacked, single


def loss(stacked, single, weights=(1.0, 1.0, 1.0)):
    rows = [stacked[r].square().sum() + single[r].square().sum() for r in range(3)]
    return torch.stack([w * row for w, row in zip(weights, rows, strict=True)])


def test_is_the_adam_of_torch():
    optimiser, stacked, single = make(clip=1e9)
    _, other, others = make()
    adam = torch.optim.Adam([other, *others])
    for step in range(5):
        optimiser.step(loss(stacked, single, (1.0, 2.0, 3.0)), step)
        adam.param_groups[0]["lr"] = optimiser.rate(step)
        adam.zero_grad()
        loss(other, others, (1.0, 2.0, 3.0)).sum().backward()
        adam.step()
    torch.testing.assert_close(stacked, other)
    torch.testing.assert_close(single, others)


def test_clips_each_replicate_by_its_own_norm():
    optimiser, stacked, single = make()
    optimiser.step(loss(stacked, single, (1e-3, 1.0, 1e3)), 0)
    # After one step the first moment is a tenth of the clipped gradient.
    norms = 10 * optimiser.first.norm(dim=1)
    assert norms.tolist() == pytest.approx([1e-3 * 2 * 6**0.5, 1.0, 1.0])


def test_diverged_replicate_keeps_its_weights_and_the_others_go_on():
    optimiser, stacked, single = make()
    optimiser.step(loss(stacked, single), 0)
    frozen = (stacked[1].clone(), single[1].clone())
    for step, factor in enumerate((float("nan"), 1.0, float("inf")), start=1):
        before = stacked[0].clone()
        optimiser.step(loss(stacked, single, (1.0, factor, 1.0)), step)
        assert torch.equal(stacked[1], frozen[0])
        assert torch.equal(single[1], frozen[1])
        assert not torch.equal(stacked[0], before)
    assert optimiser.alive.tolist() == [True, False, True]
    assert optimiser.ended.tolist() == [10, 1, 10]


def test_others_are_what_they_would_be_alone():
    both, spoilt = make(), make()
    for step in range(4):
        both[0].step(loss(*both[1:]), step)
        spoilt[0].step(loss(*spoilt[1:], (1.0, float("nan"), 1.0)), step)
    for replicate in (0, 2):
        assert torch.equal(both[1][replicate], spoilt[1][replicate])


def test_learning_rate_falls_to_a_hundredth():
    optimiser, _, _ = make(steps=5, rate=0.1)
    rates = [optimiser.rate(step) for step in range(5)]
    assert rates[0] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert 0.001 < rates[-1] < 0.02


def test_what_moves_every_so_many_steps_takes_the_steps_of_adam():
    """As torch's Adam takes them, if it gets every third gradient only."""
    often, seldom, other = (nn.Parameter(torch.ones(2, 3, dtype=torch.float64)) for _ in range(3))
    seldom.every = 3
    optimiser = Optimiser([[often], [seldom]], 2, 0.1, 1e9, 20)
    adam = torch.optim.Adam([other])
    for step in range(9):
        before = seldom.detach().clone()
        scale = 1.0 + step
        optimiser.step((often.square() + scale * seldom.pow(3)).sum(1), step)
        if step % 3 == 2:
            adam.param_groups[0]["lr"] = optimiser.rate(step)
            adam.zero_grad()
            (scale * other.pow(3)).sum().backward()
            adam.step()
        else:
            assert torch.equal(seldom, before)
    torch.testing.assert_close(seldom, other, rtol=1e-6, atol=0)


def test_losses_are_not_differentiated_by_what_rests():
    often, seldom = (nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    seldom.every = 3
    optimiser, differentiated = Optimiser([[often], [seldom]], 2, 0.1, 1.0, 10), []
    for step in range(6):
        seen = seldom.square()
        seen.register_hook(lambda _, step=step: differentiated.append(step))
        optimiser.step((often.square() + seen).sum(1), step)
    assert differentiated == [2, 5]


def test_gradients_of_what_rests_do_not_matter():
    """Compiled steps give them, and eager ones do not."""
    resting = nn.Parameter(torch.ones(2, 3))
    resting.every = 2
    optimiser = Optimiser([[resting]], 2, 0.1, 1.0, 10)
    optimiser.update((torch.full((2, 3), float("nan")),), torch.ones(2, dtype=torch.bool), 0)
    assert optimiser.alive.all()
    assert torch.equal(resting, torch.ones(2, 3))


def test_what_diverges_while_it_rests_stays():
    stacked = nn.Parameter(torch.ones(2, 3))
    stacked.every = 2
    optimiser = Optimiser([[stacked]], 2, 0.1, 1.0, 10)
    for step, factor in enumerate((1.0, 1.0, float("nan"), 1.0)):
        optimiser.step(stacked.square().sum(1) * torch.tensor([1.0, factor]), step)
        if step == 1:
            kept = stacked.detach().clone()
    assert torch.equal(stacked[1], kept[1])
    assert not torch.equal(stacked[0], kept[0])


def test_parameters_without_a_gradient_are_passed_over():
    used = nn.Parameter(torch.ones(2, 3))
    unused = nn.Parameter(torch.ones(2, 3))
    optimiser = Optimiser([[used, unused]], 2, 0.1, 1.0, 5)
    optimiser.step(used.square().sum(1), 0)
    assert torch.equal(unused, torch.ones(2, 3))


def test_replicates_learn_at_rates_of_their_own():
    rates = (0.1, 0.01, 0.3)
    together = make(rate=rates)
    alone = [make(rate=rate) for rate in rates]
    for parameters in (together, *alone):
        optimiser, stacked, single = parameters
        for step in range(4):
            optimiser.step(loss(stacked, single, (1.0, 2.0, 3.0)), step)
    for replicate, (_, stacked, single) in enumerate(alone):
        torch.testing.assert_close(together[1][replicate], stacked[replicate])
        torch.testing.assert_close(together[2][replicate], single[replicate])


def test_rates_of_replicates_and_of_parameters_multiply():
    def trained(rate):
        slow = nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
        slow.rate = 0.1
        optimiser = Optimiser([[slow]], 3, rate, 1e9, 10)
        for step in range(4):
            optimiser.step(slow.square().sum(1), step)
        return slow

    together = trained((0.1, 0.01, 0.3))
    torch.testing.assert_close(together[1], trained(0.01)[1])
    assert not torch.allclose(together[0], together[1])
