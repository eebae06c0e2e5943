"""Records are collected, reported and shown with the suite that describes them, or refused."""

import json
import os
import shutil

import pandas as pd
import pytest
import yaml
from factories.commands import run
from factories.suites import changed, describe, few, toy

DATASET = toy(metrics={"hyvarinen_score": {"points": 20}}, compute="eager")
DSM = {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}}
SUITE = describe({"dsm": DSM, **few("nce")}, {"two_moons": DATASET})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of the suite."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(yaml.safe_dump(SUITE))
    done = run("train", "--suite", folder / "small.yaml", "--dataset", "two_moons", "--evaluate",
               "--out", folder / "results/small/runs")  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(place, *path, to):
    (place / "small.yaml").write_text(yaml.safe_dump(changed(SUITE, *path, to=to)))


def command(name):
    where = [] if name == "show" else ["--results", "results/small"]
    return run(name, "--suite", "small.yaml", *where)


EDITS = [
    (("datasets", "two_moons", "budget", "steps"), 5, "budget.steps is 3 in the record and 5 in"),
    (("datasets", "two_moons", "budget", "batch_size"), 8, "budget.batch_size is 16"),
    (("datasets", "two_moons", "budget", "learning_rate"), 0.1, "budget.learning_rate is 0.001"),
    (("datasets", "two_moons", "replicates"), 3, "replicates is 2 in the record and 3 in"),
    (("datasets", "two_moons", "energy", "settings", "width"), 4, "energy.settings.width is 8"),
    (("methods", "dsm", "settings", "sigma"), 0.3, "settings.sigma is 0.2 in the record and 0.3"),
    (("methods", "dsm", "objective"), "sliced_score_matching", None),
    (("seed",), 1, "seed is 0 in the record and 1 in the suite"),
    (("version",), 2, "version of the suite is 1 in the record and 2"),
]


@pytest.mark.parametrize(("path", "value", "said"), EDITS)
def test_an_edited_suite_gets_no_table_of_older_records(place, path, value, said):
    assert command("collect").exit_code == 0
    (place / "results/small/tables").mkdir()
    (place / "results/small/tables/overall.txt").write_text("another table\n")
    if said is None:
        return
    edit(place, *path, to=value)
    for name in ("report", "show"):
        result = command(name)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert "two_moons dsm" in result.stderr
        assert "another table" not in result.stdout


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("metrics",), {"hyvarinen_score": {"points": 30}},
         "two_moons.metrics.hyvarinen_score.points is 20 and 30 in the suite"),
        (("sampler",), {"name": "langevin"}, "two_moons.sampler is ['"),
        (("curve",), "energy_distance", "metric of the curve is hyvarinen_score in the record"),
    ],
)  # fmt: skip
def test_what_was_measured_otherwise_gets_no_table(place, path, value, said):
    assert command("collect").exit_code == 0
    edit(place, "datasets", "two_moons", *path, to=value)
    for name in ("report", "show"):
        result = command(name)
        assert result.exit_code == 2, result.output
        assert said in result.stderr


def test_measurements_of_an_older_metric_get_no_table(place):
    assert command("collect").exit_code == 0
    path = place / "results/small/records/values.parquet"
    pd.read_parquet(path).assign(metric_version=0).to_parquet(path)
    result = command("report")
    assert result.exit_code == 2
    assert "version of hyvarinen_score is 0 in the records and" in result.stderr


@pytest.mark.parametrize(("path", "value", "said"), EDITS)
def test_runs_that_would_be_trained_again_are_not_collected(place, path, value, said):
    if said is None:
        value, path, said = {"objective": "conditional_noise_contrastive"}, path[:2], "objective is"
    edit(place, *path, to=value)
    result = command("collect")
    assert f"out of date, left out: two_moons/dsm: {said}" in result.stderr
    others = path[0] == "methods"
    assert result.exit_code == (0 if others else 2)
    if others:
        runs = pd.read_parquet("results/small/records/runs.parquet")
        assert list(runs["method"]) == ["nce"]
    else:
        assert "every run of suite small is out of date" in result.stderr


@pytest.mark.parametrize("was", [False, True])
def test_whether_a_method_is_a_control_is_collected_from_the_suite(place, was):
    """As only the models of others can have escaped."""
    folder = place / "results/small/runs/two_moons/dsm"
    for file, key, value in (("run.json", "control", was), ("evaluation.json", "outside", 0.5)):
        record = json.loads((folder / file).read_text())
        for each in record.get("values", [record]):
            each[key] = value
        (folder / file).unlink()
        (folder / file).write_text(json.dumps(record))
    for control in (was, not was):
        edit(place, "methods", "dsm", "control", to=control)
        if control != was:
            assert f"control is {was} in the record and {control}" in command("report").stderr
        assert command("collect").stderr == ""
        values = pd.read_parquet("results/small/records/values.parquet")
        found = values[values["method"] == "dsm"]
        assert set(found["status"]) == {"ok" if control else "escaped"}
        assert set(found["control"]) == {control}


def test_show_names_state_that_is_not_saved(place):
    path = place / "results/small/runs/two_moons/dsm/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unsaved": ["Mine.n"]}))
    assert command("collect").exit_code == 0
    (place / "results/small/tables").mkdir()
    (place / "results/small/tables/overall.txt").write_text("a table\n")
    said = command("show").stdout
    assert "two_moons, dsm: steps changed state that no checkpoint holds: Mine.n" in said
    assert said.count("state that no checkpoint") == 1


@pytest.mark.parametrize("later", [-10, 10])
def test_show_says_that_a_suite_was_edited_since(place, later):
    """As a criterion or a name of a method in the table may have changed."""
    table = place / "results/small/tables/overall.txt"
    table.parent.mkdir()
    table.write_text("a table\n")
    edit(place, "datasets", "two_moons", "metrics", to={"hyvarinen_score": {"points": 30}})
    made = table.stat().st_mtime + later
    os.utime(place / "small.yaml", (made, made))
    result = command("show")
    assert result.exit_code == 0
    assert ("is newer than this table" in result.stderr) == (later > 0)


@pytest.mark.parametrize(
    "newer", ["small.yaml", "below.yaml", "results/small/records/runs.parquet"]
)
def test_show_says_what_has_changed_since(place, newer):
    (place / "small.yaml").rename(place / "below.yaml")
    (place / "small.yaml").write_text("extends: below.yaml\n")
    assert command("collect").exit_code == 0
    table = place / "results/small/tables/overall.txt"
    table.parent.mkdir()
    table.write_text("a table\n")
    os.utime(place / "small.yaml", (0, 0))
    assert command("show").stderr == ""
    os.utime(place / newer, (table.stat().st_mtime + 10,) * 2)
    assert f"{newer} is newer than this table" in command("show").stderr


def test_equal_settings_written_otherwise_are_no_difference(place):
    assert command("collect").exit_code == 0
    text = yaml.safe_dump(SUITE).replace("sigma: 0.2", "sigma: '2e-1'")
    (place / "small.yaml").write_text(text)
    assert command("collect").stderr == ""
    assert command("show").exit_code == 2  # there is no table yet
    assert "make the report first" in command("show").stderr


def test_runs_of_other_code_are_not_collected(place):
    file = place / "results/small/runs/two_moons/dsm/run.json"
    # It matters not for the training, which methods are controls.
    record = {**json.loads(file.read_text()), "fingerprint": "of other code", "control": True}
    file.unlink()
    file.write_text(json.dumps(record))
    result = command("collect")
    assert "left out: two_moons/dsm: trained by other code, on other data" in result.stderr
    assert "1 of 2 runs collected" in result.stdout


@pytest.mark.parametrize("how", ["settings", "digest"])
def test_evaluations_of_other_metrics_are_not_collected(place, how):
    if how == "settings":
        edit(place, "datasets", "two_moons", "metrics",
             to={"hyvarinen_score": {"points": 20}, "kl_divergence": {}})  # fmt: skip
    else:
        file = place / "results/small/runs/two_moons/dsm/evaluation.json"
        record = {**json.loads(file.read_text()), "digest": "of other code"}
        file.unlink()
        file.write_text(json.dumps(record))
    result = command("collect")
    assert "two_moons/dsm: evaluated with other settings or by other code" in result.stderr
    assert "2 of 2 runs collected" in result.stdout
    values = pd.read_parquet("results/small/records/values.parquet")
    assert set(values["method"]) == (set() if how == "settings" else {"nce"})


@pytest.mark.parametrize("name", ["collect", "report", "show"])
def test_two_suites_of_one_name(place, name):
    assert command("collect").exit_code == 0
    other = place / "elsewhere" / "other.yaml"
    other.parent.mkdir()
    other.write_text(yaml.safe_dump({**SUITE, "title": "Another"}))
    where = [] if name == "show" else ["--results", "results/small"]
    result = run(name, "--suite", other, *where)
    assert result.exit_code == 2
    for part in (str(other), str(place / "small.yaml"), "same name 'small'; rename one"):
        assert part in result.stderr


@pytest.mark.parametrize("change", ["copied", "moved", "renamed", "deleted"])
def test_one_suite_in_another_place(place, change):
    assert command("collect").exit_code == 0
    other = place / "other.yaml"
    other.write_text((place / "small.yaml").read_text())
    if change == "moved":
        (place / "small.yaml").unlink()
    elif change == "deleted":
        (place / "small.yaml").unlink()
        other.write_text(yaml.safe_dump({**SUITE, "title": "Edited"}))
    elif change == "renamed":
        (place / "small.yaml").write_text(yaml.safe_dump({**SUITE, "name": "larger"}))
    result = run("collect", "--suite", other, "--results", "results/small")
    assert result.exit_code == 0, result.stderr


def test_results_that_are_moved_with_their_suite(place, tmp_path_factory, monkeypatch):
    assert command("collect").exit_code == 0
    there = tmp_path_factory.mktemp("there") / "clone"
    shutil.copytree(place, there)
    monkeypatch.chdir(there)
    (there / "small.yaml").write_text(yaml.safe_dump({**SUITE, "title": "Edited"}))
    assert command("collect").exit_code == 0
