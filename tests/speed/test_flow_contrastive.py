"""The steps of flow-contrastive estimation that are timed against each other."""

import pytest
import torch

from benchmarks.speed import flow_contrastive


@pytest.mark.parametrize("kind", ["affine", "spline"])
def test_ours_and_the_published_way_agree(kind):
    assert flow_contrastive.difference(kind) < 1e-10


@pytest.mark.parametrize("kind", ["affine", "spline"])
@pytest.mark.parametrize("make", [flow_contrastive.ours, flow_contrastive.published])
def test_a_step_moves_both_players(make, kind):
    step = make(kind, batch=16)
    before = [
        {name: p.detach().clone() for name, p in player.named_parameters()}
        for player in (step.energy, step.flow)
    ]
    step()
    for player, old in zip((step.energy, step.flow), before, strict=True):
        assert any(not torch.equal(old[name], p) for name, p in player.named_parameters())


def test_the_whole_layers_of_normflows_are_a_flow():
    flow = flow_contrastive.published("spline", 16, torch.float64, stock=True).flow
    with torch.random.fork_rng(devices=[]):
        points, log_q = flow.sample(20)
    torch.testing.assert_close(flow.log_prob(points), log_q)
