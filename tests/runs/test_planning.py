from pathlib import Path

import pytest
from factories import commands
from factories.records import make_run
from factories.suites import describe, toy

from ebm_bench.errors import InputError
from ebm_bench.records import collection
from ebm_bench.runs import planning
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[2]
MEASURED = 91.1  # seconds of trainings of the quick suite, on two Xeon cores on 30 November 2026
TOY = suite.load(ROOT / "benchmarks" / "toy.yaml")


def test_half_of_the_records_tell_what_the_other_half_takes():
    tables = collection.load(ROOT / "results" / "reference" / "toy" / "records")
    records = {key[1:]: run for key, run in tables.records().items()}
    names = [*TOY.datasets]
    for known in (names[::2], names[1::2]):
        told = {key: run for key, run in records.items() if key[0] in known}
        others = [key for key in records if key not in told]
        found = planning.estimate(TOY, others, told)
        costs = [records[key].cost for key in others]
        spent = sum(cost.setup_seconds + cost.train_seconds for cost in costs)
        assert sum(found.values()) == pytest.approx(spent, rel=0.2)


def small(replicates=2, steps=10, batch_size=8):
    data = toy(replicates=replicates, budget={"steps": steps, "batch_size": batch_size})
    methods = {name: {"objective": "denoising_score_matching"} for name in ("dsm", "other")}
    return suite.check(describe(methods, {"two_moons": data, "ring": data}), "test")


def told(**records):
    found = {}
    for name, (setup, train) in records.items():
        dataset, _, method = name.rpartition("_")
        run = make_run(method=method, dataset=dataset)
        run.cost.setup_seconds, run.cost.train_seconds = setup, train
        run.budget = {"steps": 10, "batch_size": 8}
        found[dataset, method] = run
    return found


def test_what_is_not_recorded_is_told_by_the_method_then_by_the_dataset():
    chosen = small()
    places = [(d, m) for d in chosen.datasets for m in chosen.methods]
    found = planning.estimate(chosen, places, told(two_moons_dsm=(1, 6), ring_other=(0, 2)))
    assert found == {
        ("two_moons", "dsm"): 7,
        ("two_moons", "other"): 2,
        ("ring", "dsm"): 7,
        ("ring", "other"): 2,
    }
    alone = planning.estimate(chosen, places, told(ring_dsm=(1, 6)))
    assert {*alone.values()} == {7}


@pytest.mark.parametrize(
    ("more", "seconds"), [({"replicates": 4}, 14), ({"steps": 20}, 13), ({"batch_size": 16}, 13)]
)
def test_training_is_in_proportion_to_its_points_and_set_up_to_replicates(more, seconds):
    place = ("two_moons", "dsm")
    assert planning.estimate(small(**more), [place], told(two_moons_dsm=(1, 6))) == {place: seconds}


def test_records_of_twenty_replicates_tell_what_three_take():
    """The methods that the quick suite and that of toys share, on the densities that they share."""
    quick = suite.load(ROOT / "benchmarks" / "quick.yaml")
    tables = collection.load(ROOT / "results" / "reference" / "toy" / "records")
    records = {key[1:]: run for key, run in tables.records().items()}
    shared = [(d, m) for d in quick.datasets for m in quick.methods_of(d) if (d, m) in records]
    assert len(shared) == 28
    found = planning.estimate(quick, shared, records)
    assert sum(found.values()) == pytest.approx(MEASURED, rel=0.2)


def test_untrained_controls_cost_their_set_up():
    place = ("two_moons", "dsm")
    records = told(two_moons_dsm=(3, 0))
    records[place].budget = {"steps": 0, "batch_size": 8}
    assert planning.estimate(small(steps=0), [place], records) == {place: 3}


@pytest.mark.parametrize(("nodes", "wall"), [(1, 18), (2, 9), (3, 7), (9, 7)])
def test_the_longest_run_starts_first(nodes, wall, tmp_path):
    records = told(two_moons_dsm=(0, 7), two_moons_other=(0, 2), ring_dsm=(0, 7), ring_other=(0, 2))
    found = planning.plan(small(), records, tmp_path, nodes)
    assert (found.wall, found.longest, found.training) == (wall, 7, 18)
    assert (found.runs, found.recorded) == (4, 4)
    assert (found.measuring, found.storage) == (None, None)


def test_evaluations_and_files_of_the_records_count(tmp_path):
    folder = tmp_path / "ring" / "dsm"
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text('{"seconds": 5.0}')
    found = planning.plan(small(), told(ring_dsm=(0, 7)), tmp_path, 4)
    assert (found.measuring, found.wall, found.storage) == (20, 12, 4 * 16)


def test_without_records_nothing_is_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no record of a run to estimate from"):
        planning.plan(small(), {}, tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    found = commands.run("plan", ROOT / "benchmarks" / "toy.yaml")
    assert found.exit_code == 2
    assert "no records of runs to estimate by" in found.output


def test_the_command_takes_the_reference(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = commands.run("plan", "benchmarks/toy.yaml", "--nodes", "4")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("Runs: ")
    assert "On 4 cores or GPUs: " in found.output
