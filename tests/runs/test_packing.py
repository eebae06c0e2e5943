"""Runs are packed by what they take, in a way that stays."""

import json

import pytest
from factories.suites import describe, toy

from ebm_bench.runs import packing
from ebm_bench.suites.suite import check

NAMES = ["two_moons", "eight_gaussians", "pinwheel", "ring", "banana"]
METHODS = [f"dsm-0.{i}" for i in range(1, 7)]


def make_suite(datasets=NAMES, methods=METHODS, replicates=5, **budget):
    data = toy(replicates=replicates, budget={"steps": 1000, "batch_size": 128, **budget})
    method = {"objective": "denoising_score_matching", "settings": {"sigma": 0.1}}
    content = describe(dict.fromkeys(methods, method), dict.fromkeys(datasets, data), "test")
    return check(content, "test")


def pack(suite, runs, minutes=30, at_once=4, waiting=None):
    jobs = packing.pack(suite, waiting or dict.fromkeys(suite.jobs()), runs, minutes, at_once)
    # Whatever the packing, each run is in one job.
    packed = [run for job in jobs for run in job.runs(suite)]
    assert sorted(packed) == sorted((d, m) for d, methods in suite.jobs().items() for m in methods)
    assert len({job.name for job in jobs}) == len(jobs)
    return jobs


def write_record(runs, dataset, method, seconds, steps=1000, batch_size=128, replicates=5):
    folder = runs / dataset / method
    folder.mkdir(parents=True)
    cost = {"setup_seconds": 0.0, "train_seconds": seconds / 2}
    budget = {"steps": steps, "batch_size": batch_size}
    content = {"cost": cost, "budget": budget, "outcomes": [{}] * replicates}
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "evaluation.json").write_text(json.dumps({"seconds": seconds / 2}))


def test_short_runs_share_a_job(tmp_path):
    (job,) = pack(make_suite(), tmp_path)
    assert job.datasets == NAMES
    assert job.part == 0


def test_no_job_is_longer_than_chosen_but_by_a_run(tmp_path):
    suite = make_suite()
    for minutes in (1, 2, 5, 10):
        for job in pack(suite, tmp_path, minutes=minutes, at_once=2):
            assert job.minutes <= 2 * minutes + job.longest


def test_long_runs_are_spread_over_jobs(tmp_path):
    jobs = pack(make_suite(["ring"], steps=200_000), tmp_path)
    assert [job.name for job in jobs] == ["ring@1", "ring@2", "ring@3"]


def test_a_run_longer_than_a_job_has_one_of_its_own(tmp_path):
    (job,) = pack(make_suite(["ring"], METHODS[:1], steps=10**6), tmp_path, minutes=1)
    assert job.limit(1) > job.longest > 1


def test_what_waits_for_other_data_has_a_job_of_its_own(tmp_path):
    waiting = {name: name in ("pinwheel", "ring") for name in NAMES}
    jobs = pack(make_suite(), tmp_path, waiting=waiting)
    assert [job.datasets for job in jobs] == [
        ["two_moons", "eight_gaussians", "banana"], ["pinwheel", "ring"]
    ]  # fmt: skip


def test_records_tell_how_long_runs_take(tmp_path):
    for method in METHODS:
        write_record(tmp_path, "ring", method, seconds=3000)
    jobs = pack(make_suite(), tmp_path)
    assert [job.name for job in jobs] == ["two_moons_and_3_more", "ring@1", "ring@2", "ring@3"]


@pytest.mark.parametrize("done", [{"steps": 100}, {"replicates": 1, "batch_size": 64}])
def test_a_record_of_fewer_points_tells_of_more(done, tmp_path):
    write_record(tmp_path, "ring", METHODS[0], seconds=60, **done)
    (job,) = pack(make_suite(["ring"], METHODS[:1]), tmp_path)
    assert job.longest == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cost": {}}', '{"cost": null}', "\0"])
def test_damaged_records_tell_nothing(text, tmp_path):
    suite = make_suite(["ring"])
    expected = pack(suite, tmp_path / "none")
    write_record(tmp_path, "ring", METHODS[0], seconds=1)
    (tmp_path / "ring" / METHODS[0] / "run.json").write_text(text)
    assert pack(suite, tmp_path) == expected


def test_untrained_controls_take_moments(tmp_path):
    data = make_suite(["ring"], METHODS[:1]).model_dump(mode="json")
    control = {"objective": "untrained", "energy": {"name": "quadratic"}, "control": True}
    suite = check({**data, "methods": {"gaussian": control}}, "test")
    (job,) = pack(suite, tmp_path)
    assert job.minutes < 0.5


def test_a_kept_packing_stays_until_the_suite_changes(tmp_path):
    suite, file = make_suite(), tmp_path / "jobs.json"
    jobs = pack(suite, tmp_path, minutes=2)
    key = packing.key(suite, 2, 4)
    packing.write(jobs, key, file)
    assert packing.read(file) == packing.read(file, key) == jobs
    others = [
        packing.key(suite, 3, 4),
        packing.key(suite, 2, 8),
        packing.key(make_suite(methods=METHODS[1:]), 2, 4),
        packing.key(make_suite(steps=10), 2, 4),
        packing.key(make_suite(replicates=2), 2, 4),
    ]
    for other in others:
        assert packing.read(file, other) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1, "jobs": [{"datasets": []}]}'])
def test_a_damaged_packing_is_none(text, tmp_path):
    (tmp_path / "jobs.json").write_text(text)
    assert packing.read(tmp_path / "jobs.json") is None
    assert packing.read(tmp_path / "missing.json") is None
