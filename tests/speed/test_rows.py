"""All contenders compute the same values, and all rows are well-formed."""

import functools
from dataclasses import replace

import pytest
import torch

from benchmarks.speed import contest, problem
from benchmarks.speed.problem import Plain, Problem
from benchmarks.speed.rows import OTHERS, SETTINGS, rows
from benchmarks.speed.timing import agree

ALL = {row.name: row for row in rows()}
SMALL = {"mlp": (3,), "conv": (2, 5, 6)}


def small(objective, energy="mlp", replicates=1):
    settings = {"width": 6} if energy == "mlp" else {"channels": 2}
    return Problem(
        objective, energy, SMALL[energy], SETTINGS.get(objective, {}), settings, replicates
    )


def differences(contenders):
    row = contest.Row("small", "", contenders, batch=4)
    return {name: found for name, found in agree(row).items() if name != "ours"}


@pytest.mark.parametrize("energy", SMALL)
@pytest.mark.parametrize("objective", OTHERS)
def test_others_compute_what_ours_does(objective, energy):
    given = small(objective, energy)
    made = {name: build(given) for name, build in OTHERS[objective].items()}
    found = differences({"ours": problem.ours(given), **made})
    assert {name: (f.status, f.note) for name, f in found.items()} == {
        name: ("ok", "") for name in OTHERS[objective]
    }
    assert all(f.difference < 1e-11 for f in found.values())


@pytest.mark.parametrize("objective", OTHERS)
def test_stacked_replicates_compute_what_single_ones_do(objective):
    given = small(objective, replicates=3)
    others = {"single": problem.one_by_one, "published": OTHERS[objective]["published"]}
    made = {name: build(given) for name, build in others.items()}
    found = differences({"ours": problem.ours(given), **made})
    assert all(f.status == "ok" and f.difference < 1e-11 for f in found.values())


@pytest.mark.parametrize("objective", OTHERS)
def test_a_compiled_loss_is_one_graph_and_the_same(objective, monkeypatch):
    # Trace only: generating code takes minutes.
    traced = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", traced)
    given = small(objective)
    found = differences({"ours": problem.ours(given), "compiled": problem.compiled(given)})
    assert found["compiled"].status == "ok"
    built = problem.compiled(given)(torch.float32, 4)
    assert all(torch.isfinite(value).all() for value in built.values())
    built.step()
    built.plain()


@pytest.mark.parametrize("energy", SMALL)
def test_the_plain_network_is_the_energy(energy):
    parts = small("exact_score_matching", energy, 2).build(torch.float64, 5)
    expected = parts.energy(parts.x)
    for replicate in range(2):
        found = Plain(parts.energy, replicate)(parts.x[replicate])
        torch.testing.assert_close(found, expected[replicate])


def test_a_step_moves_the_weights_of_every_contender(monkeypatch):
    monkeypatch.setattr(problem, "LEARNING_RATE", 0.1)
    given = small("denoising_score_matching")
    made = {name: build(given) for name, build in OTHERS[given.objective].items()}
    for name, build in {"ours": problem.ours(given), **made}.items():
        contender = build(torch.float64, 4)
        before = contender.values()[1]
        contender.step()
        assert not torch.allclose(before, contender.values()[1], rtol=1e-2), name


def test_names_are_unique_and_targets_name_contenders():
    assert len(ALL) == len(rows())
    for row in ALL.values():
        assert next(iter(row.contenders)) == "ours"
        assert not row.compared or min(row.batch, row.check_batch) >= 2  # one point has no spread
        for target in row.targets:
            assert target.against in (*row.contenders, "")
            assert (target.at_least is None) != (target.at_most is None)
            assert target.against or target.at_most is not None


def test_rows_with_a_curve_have_their_place_in_it():
    curves = [(row.curve, row.dimension) for row in ALL.values() if row.curve]
    assert len(curves) == len(set(curves))
    assert all(dimension > 0 for _, dimension in curves)


@pytest.mark.parametrize("name", [
    name for name, row in ALL.items()
    if not name.endswith(("compiled", "wide")) and (row.dimension or 2) <= 64
    and row.compared and "conv" not in row.title
])  # fmt: skip
def test_every_quick_row_agrees(name):
    found = agree(replace(ALL[name], check_batch=2))
    assert {f.status for f in found.values()} == {"ok"}


@pytest.mark.parametrize(("name", "against", "at_least"), [
    ("exact-784", "published", 100.0), ("exact-2-compiled", "published", 4.5),
    ("exact-784-wide", "published", 9.0), ("exact-32x32x3", "published", 28.0),
    ("sliced-2", "torchebm", 1.5), ("dsm-2-compiled", "ebmkit", 1.7),
    ("nce-2", "published", 1.0), ("flow-contrastive-spline", "normflows", 6.0),
    ("replicates-dsm", "one after another", 2.5),
])  # fmt: skip
def test_targets_of_training(name, against, at_least):
    (found,) = [t for t in ALL[name].targets if (t.against, t.quantity) == (against, "seconds")]
    assert found.at_least == at_least


def test_evaluation_stays_near_its_bound():
    found = [t for row in ALL.values() if "bare passes" in row.contenders for t in row.targets]
    assert [(t.against, t.at_most) for t in found] == [("bare passes", 1.3)] * 4
