"""The bounds of evaluation evaluate as many points as evaluation itself."""

import pytest
import torch

from benchmarks.speed import evaluation
from ebm_bench.energies.base import Energy


@pytest.fixture
def counted(monkeypatch):
    """Count the points that a task evaluates."""
    networks = []
    create = evaluation._network
    monkeypatch.setattr(
        evaluation, "_network", lambda size: networks.append(create(size)) or networks[-1]
    )

    def points(build, *arguments):
        work = build(*arguments)
        networks[-1].evaluations = 0
        work()
        return networks[-1].evaluations

    return points


def test_bounds_do_as_many_points(counted):
    assert counted(evaluation.grid, 16) == counted(evaluation.forward, 16**2) == 16**2
    assert counted(evaluation.langevin, 10, 4) == counted(evaluation.langevin_bound, 10, 4) == 40
    ours, bound = (
        counted(build, 4, 8) for build in (evaluation.importance, evaluation.importance_bound)
    )
    # Levels there and back, those of the pilot run, three starts.
    assert 4 * (8 + 8 + 1 + 3) <= ours == bound <= 4 * (8 + 8 + 2 + 3)


def test_tasks_are_built_and_done(monkeypatch):
    monkeypatch.setattr(evaluation, "_CHUNKS", (8,))
    assert set(evaluation.tasks()) == {"grid-512", "grid-1024", "langevin", "ais"}
    estimate = evaluation.importance(4, 8)()
    assert torch.isfinite(estimate.log_z).all()
    assert isinstance(evaluation._network(3), Energy)
