"""Random numbers, differences, memory, operations and times are measured correctly."""

import math

import pytest
import torch

from benchmarks.speed import measuring
from benchmarks.speed.measuring import Draws, difference, interleaved, operations, peak_bytes


def test_all_contenders_get_the_same_random_numbers():
    draws = Draws()
    with draws:
        expected = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    draws.rewind()
    with draws:
        found = torch.randn_like(torch.empty(6))
    assert torch.equal(found, expected.flatten())
    assert draws.matched
    draws.rewind()
    with draws:
        inplace = torch.empty(2, 3).normal_(generator=torch.Generator().manual_seed(2))
    assert torch.equal(inplace, expected)


@pytest.mark.parametrize("draw", [
    lambda: None,
    lambda: torch.randn(5),
    lambda: [torch.randn(6), torch.randn(6)],
], ids=["none", "fewer numbers", "one more"])  # fmt: skip
def test_other_random_numbers_are_noticed(draw):
    draws = Draws()
    with draws:
        torch.randn(6)
    draws.rewind()
    with draws:
        draw()
    assert not draws.matched


def test_difference_is_relative_and_the_largest():
    one, other = torch.tensor([2.0, 4.0]), torch.tensor([2.0, 5.0])
    assert difference([one, one], [one, other]) == pytest.approx(0.2)
    assert difference([torch.zeros(2)], [torch.zeros(2)]) == 0
    assert difference([one], [-one]) == 2


def test_values_that_are_not_finite_never_agree():
    bad = torch.tensor([1.0, math.nan])
    assert math.isnan(difference([bad], [bad]))
    assert math.isnan(difference([torch.ones(2), bad], [torch.ones(2), torch.ones(2)]))
    infinite = torch.tensor([math.inf])
    assert math.isnan(difference([infinite], [torch.ones(1)]))


def test_peak_memory_is_exact_to_the_byte():
    def one_after_another():
        a = torch.empty(1_000_000)
        del a
        torch.empty(500_000)

    def together():
        a = torch.empty(1_000_000)
        return a, torch.empty(500_000)

    held = torch.empty(5_000_000)
    assert peak_bytes(one_after_another) == 4_000_000
    assert peak_bytes(together) == 6_000_000
    assert peak_bytes(lambda: held.neg_()) == 0


def test_operations_of_a_backward_pass_count():
    a, b = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)
    assert operations(lambda: a @ b) == 2 * 3 * 4 * 5
    assert operations(lambda: (a @ b).sum().backward()) == 2 * 2 * 3 * 4 * 5


@pytest.fixture
def clock(monkeypatch):
    """A clock for which a step is its own duration, and the list of timed steps."""
    monkeypatch.setattr(measuring, "TIMING_SECONDS", 0.01)
    timed = []

    def seconds(step, count):
        timed.append((step, count))
        return step

    monkeypatch.setattr(measuring, "_seconds", seconds)
    return timed


def test_steps_take_turns(clock):
    times = interleaved({"a": 0.02, "b": 0.04}, repeats=4, seconds=1.0)
    assert times == {"a": [0.02] * 4, "b": [0.04] * 4}
    assert [step for step, _ in clock] == [0.02, 0.04] * 5  # the first round is a warm-up


def test_short_steps_are_repeated_within_a_timing(clock):
    interleaved({"a": 0.001, "b": 0.02}, repeats=2, seconds=1.0)
    assert clock[2:4] == [(0.001, 10), (0.02, 1)]


@pytest.mark.parametrize(("step", "repeats", "rounds"), [
    (0.5, 20, 10), (1.0, 20, 5), (2.0, 20, 3), (2.0, 2, 2), (6.0, 20, 2), (6.0, 1, 1)
])  # fmt: skip
def test_slow_steps_have_fewer_rounds(clock, step, repeats, rounds):
    times = interleaved({"a": step}, repeats, seconds=5.0)
    assert times == {"a": [step] * rounds}
    assert len(clock) == rounds + (step <= measuring.SLOW_SECONDS)


def test_peak_of_products_is_the_best_of_its_trials(monkeypatch):
    trials = iter([1.0, 0.5, *[2.0] * 20])
    monkeypatch.setattr(measuring, "_seconds", lambda step, count: next(trials))
    assert measuring.product_peak() == 2 * 64**3 / 0.5
