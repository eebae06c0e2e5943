"""The steps of flow-contrastive estimation that are compared."""

import pytest
import torch

from benchmarks.speed import flow_contrastive
from benchmarks.speed.contest import Row
from benchmarks.speed.measuring import Draws
from benchmarks.speed.timing import agree


@pytest.mark.parametrize("kind", ["affine", "spline"])
def test_ours_and_the_published_way_agree(kind):
    made = {"ours": flow_contrastive.ours(kind), "normflows": flow_contrastive.published(kind)}
    found = agree(Row("small", "", made, check_batch=64))["normflows"]
    assert (found.status, found.note) == ("ok", "")
    assert found.difference < 1e-10
    values = made["ours"](torch.float64, 8).values()
    assert [len(value) for value in values[:1]] == [1]
    assert all(value.abs().max() > 0 for value in values[1:])  # energy, flow


@pytest.mark.parametrize("kind", ["affine", "spline"])
@pytest.mark.parametrize("make", [flow_contrastive.ours, flow_contrastive.published])
def test_a_step_updates_energy_and_flow(make, kind, monkeypatch):
    monkeypatch.setattr(flow_contrastive, "LEARNING_RATE", 0.01)
    monkeypatch.setattr("benchmarks.speed.problem.LEARNING_RATE", 0.01)
    contender, draws = make(kind)(torch.float64, 16), Draws()
    with torch.random.fork_rng(devices=[]):
        with draws:
            before = contender.values()
        contender.step()
        draws.rewind()
        with draws:
            after = contender.values()
    for old, new in zip(before[1:], after[1:], strict=True):
        assert not torch.allclose(old, new, rtol=1e-3)


def test_the_complete_layers_of_normflows_are_a_flow():
    _, copied = flow_contrastive._build("spline", torch.float64, 16)
    flow = flow_contrastive._flow(copied, flow_contrastive._stock).double()
    with torch.random.fork_rng(devices=[]):
        points, log_q = flow.sample(20)
        contender = flow_contrastive.published("spline", stock=True)(torch.float32, 4)
        contender.step()
    torch.testing.assert_close(flow.log_prob(points), log_q)
    assert contender.values() == []
