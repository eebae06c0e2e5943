"""A row for each objective, counted in plain steps."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks.speed import contest, objectives
from benchmarks.speed.objectives import COUNTS, rows
from ebm_bench import registry

STEP = "step-"
ROWS = {row.name.removeprefix(STEP): row for row in rows() if row.name.startswith(STEP)}
PEERS = ["energy_discrepancy", "multi_noise_denoising", "diffusion_recovery_likelihood"]
TOGETHER = {row.name.removeprefix("together-"): row for row in rows()}
# Whose flows are fitted before the first step.
SLOW = {"flow_contrastive", "adversarial_flow", "flow_importance"}


def test_each_objective_that_trains_a_network_has_one():
    assert {*registry.names("objectives")} - {*ROWS} == {"untrained", "maximum_likelihood"}
    assert {*COUNTS} == {*ROWS}


def test_a_new_objective_has_a_row_without_a_limit(monkeypatch):
    entry = registry.describe("objectives", "denoising_score_matching")
    known = SimpleNamespace(entries=lambda family: {"new": entry}, describe=registry.describe)
    monkeypatch.setattr(objectives, "registry", known)
    row, *_ = rows()
    assert (row.name, row.title, row.targets) == ("step-new", "new", ())


@pytest.mark.parametrize("name", [name for name, (count, _) in COUNTS.items() if count])
def test_limits_are_the_counts_with_a_margin(name):
    found = {target.against: target.at_most for target in ROWS[name].targets}
    assert found["plain"] == pytest.approx(1.3 * COUNTS[name][0])


@pytest.mark.parametrize("name", PEERS)
def test_replicates_are_to_be_faster_than_another_library_one_after_another(name):
    assert [(t.against, t.at_least) for t in TOGETHER[name].targets] == [("ebmkit", 1.5)]
    assert "ebmkit" in ROWS[name].contenders
    for other, build in TOGETHER[name].contenders.items():
        if not contest.is_missing(other):
            build(torch.float32, 8).step()


@pytest.mark.parametrize("name", sorted({*ROWS} - SLOW))
def test_all_contenders_take_a_step(name):
    for other, build in ROWS[name].contenders.items():
        if not contest.is_missing(other):
            build(torch.float32, 8).step()
