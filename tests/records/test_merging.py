import pandas as pd
import pytest
import yaml
from factories import commands
from factories.records import leave, make_evaluation, make_run
from factories.suites import toy

from ebm_bench.errors import InputError
from ebm_bench.records import collection, merging


@pytest.fixture
def person(tmp_path):
    """Write the results folder of somebody: runs with their evaluations."""

    def person(name, *pairs, machine="x"):
        folders = []
        for run, evaluation in pairs:
            run.provenance.machine = machine
            run.cost.train_seconds = 2.0 if machine == "x" else 5.0
            folder = tmp_path / name / "runs" / run.dataset / run.method
            folders.append(leave(folder, run, evaluation))
        collection.collect(folders).write(tmp_path / name / "records")
        return tmp_path / name

    return person


def both(method, value=0.1, **options):
    return make_run(method, **options), make_evaluation(method, value=value)


def changed(run, **update):
    return run.model_copy(update=update)


def refused(*paths, tolerance=merging.TOLERANCE):
    with pytest.raises(InputError) as caught:
        merging.merge(paths, tolerance)
    return str(caught.value)


def test_runs_of_several_stand_together(person, tmp_path):
    one, other = person("a", both("dsm")), person("b", both("nce"), machine="y")
    merging.merge([one, other]).write(tmp_path / "out")
    tables = collection.load(tmp_path / "out" / "records")
    assert tables.runs.set_index("method")["machine"].to_dict() == {"dsm": "x", "nce": "y"}
    assert set(tables.values["method"]) == set(tables.curves["method"]) == {"dsm", "nce"}
    for name in collection.TABLES:
        parts = [getattr(collection.load(f / "records"), name) for f in (one, other)]
        pd.testing.assert_frame_equal(
            getattr(tables, name), pd.concat(parts, ignore_index=True), check_dtype=False
        )


@pytest.mark.parametrize(
    "place", [".", "records", "records/runs.parquet", "records/values.parquet"]
)
def test_a_path_may_be_a_folder_or_a_table(place, person):
    merged = merging.merge([person("a", both("dsm")) / place])
    assert list(merged.taken) == [("small", "two_moons", "dsm")]


def test_a_folder_that_is_named_twice_counts_once(person):
    one = person("a", both("dsm"))
    assert merging.merge([one, one / "records", one / "records/curves.parquet"]).repeated == 0


@pytest.mark.parametrize("value", [0.1, 0.1001])
def test_what_agrees_is_kept_once_with_its_first_cost(value, person):
    one, other = person("a", both("dsm")), person("b", both("dsm", value), machine="y")
    merged = merging.merge([one, other])
    assert merged.repeated == 1
    assert len(merged.tables.values) == 2
    assert merged.tables.values["value"][0] == 0.1
    assert merged.tables.runs["machine"].tolist() == ["x"]
    assert set(merged.tables.values["train_seconds"]) == {2.0}


def test_what_disagrees_is_refused_with_files_key_and_values(person):
    one, other = person("a", both("dsm", 0.1)), person("b", both("dsm", 0.2))
    told = refused(one, other)
    assert "small two_moons dsm, replicate 0, kl of energy" in told
    assert f"0.1 in {one / 'records' / 'values.parquet'}" in told
    assert f"0.2 in {other / 'records' / 'values.parquet'}" in told
    assert merging.merge([one, other], tolerance=0.6).repeated == 1


def test_a_value_that_one_lacks_disagrees(person):
    one, other = person("a", both("dsm", 0.1)), person("b", both("dsm", float("nan")))
    assert "kl of energy: 0.1 in" in refused(one, other)


def test_curves_that_disagree_are_refused(person):
    run, evaluation = both("dsm")
    point = run.curve[0].model_copy(update={"value": 0.3})
    other = person("b", (changed(run, curve=[point]), evaluation))
    told = refused(person("a", both("dsm")), other)
    assert "replicate 0, kl at step 10: 0.1 in" in told
    assert "curves.parquet" in told


@pytest.mark.parametrize(
    ("field", "value"),
    [("settings", {"sigma": 0.2}), ("energy", {"name": "conv"}), ("control", True)],
)
def test_a_run_that_was_made_otherwise_is_refused(field, value, person):
    run, evaluation = both("dsm")
    other = person("b", (changed(run, **{field: value}), evaluation))
    told = refused(person("a", both("dsm")), other)
    assert f"small two_moons dsm, {field}: {getattr(run, field)} in" in told
    assert f"{value} in {other}" in told


def test_replicates_that_ended_otherwise_are_refused(person):
    run, evaluation = both("dsm")
    outcomes = [run.outcomes[0].model_copy(update={"replicate": r}) for r in (0, 1)]
    other = person("b", (changed(run, outcomes=outcomes), evaluation))
    assert "replicate 1: diverged in" in refused(person("a", both("dsm")), other)


@pytest.mark.parametrize("order", [1, -1])
def test_models_of_which_one_has_escaped_disagree(order, person):
    """As where one record is older than the measurement of what lies far from the data."""
    run, evaluation = both("dsm")
    far = [value.model_copy(update={"outside": 0.9}) for value in evaluation.values]
    folders = person("a", both("dsm")), person("b", (run, changed(evaluation, values=far)))
    assert "status, replicate 0, kl of energy: " in refused(*folders[::order])


@pytest.mark.parametrize("order", [1, -1])
def test_the_fuller_record_is_kept_whole(order, person):
    one, other = person("a", (make_run("dsm"), None)), person("b", both("dsm"), machine="y")
    merged = merging.merge([one, other][::order])
    assert merged.tables.runs["machine"].tolist() == ["y"]
    assert len(merged.tables.values) == 2
    assert set(merged.tables.values["train_seconds"]) == {5.0}


def test_records_of_which_each_has_more_are_refused(person):
    run, evaluation = both("dsm")
    further = evaluation.values[0].model_copy(update={"metric": "auroc"})
    without = changed(run, curve=[])
    other = person("b", (without, changed(evaluation, values=[*evaluation.values, further])))
    told = refused(person("a", both("dsm")), other)
    assert "neither has all of the other" in told
    assert "auroc" in told


@pytest.mark.parametrize(
    ("other", "evaluation", "told"),
    [
        (make_run("nce", suite_version=2), make_evaluation("nce"), "versions of suite 'small'"),
        (make_run("nce", dataset_version=2), make_evaluation("nce"), "versions of dataset"),
        (make_run("nce"), make_evaluation("nce", metric_version=2), "versions of metric 'kl'"),
        (changed(make_run("nce"), suite="other"), None, "suites: small in"),
        (changed(make_run("nce"), budget={"steps": 20}), None, "budgets of dataset"),
        (changed(make_run("nce"), seed=1), None, "budgets of dataset"),
    ],
)
def test_mixtures_are_refused_with_both_files(other, evaluation, told, person):
    one, two = person("a", both("dsm")), person("b", (other, evaluation))
    message = refused(one, two)
    assert told in message
    assert str(one / "records") in message
    assert str(two / "records") in message


def test_measurements_that_suites_describe_otherwise_are_refused(person):
    """As runs of different methods share no value that could tell."""
    folders = person("a", both("dsm")), person("b", both("nce"))
    for folder, points in zip(folders, (100, 200), strict=True):
        metrics = {"hyvarinen_score": {"points": points}, "log_z": {}}
        content = {"datasets": {"two_moons": toy(metrics=metrics)}}
        (folder / "records" / "suite.yaml").write_text(yaml.safe_dump(content))
    told = refused(*folders)
    assert "two_moons.metrics.hyvarinen_score.points is 100 and 200" in told
    assert all(str(folder / "records") in told for folder in folders)


def test_learning_rates_may_differ_between_methods(person):
    rated = [changed(make_run(m), budget={"steps": 10, "learning_rate": rate})
             for m, rate in (("dsm", 0.1), ("nce", 0.2))]  # fmt: skip
    one, other = person("a", (rated[0], None)), person("b", (rated[1], None))
    assert len(merging.merge([one, other]).taken) == 2


def test_rows_that_stand_twice_are_refused(person):
    one, other = person("a", both("dsm")), person("b", both("dsm"))
    for name in ("values", "runs"):
        path = other / "records" / f"{name}.parquet"
        table = pd.read_parquet(path)
        pd.concat([table, table]).to_parquet(path)
        assert f"{name}.parquet" in refused(one, other)
        assert "twice" in refused(one, other)


def test_pictures_come_along(person, tmp_path):
    one, other = person("a", both("dsm")), person("b", both("nce"))
    (one / "runs/two_moons/dsm/pictures.npz").write_bytes(b"drawn")
    merging.merge([one, other]).write(tmp_path / "out")
    assert (tmp_path / "out/runs/two_moons/dsm/pictures.npz").read_bytes() == b"drawn"
    assert not (tmp_path / "out/runs/two_moons/nce").exists()


def test_the_command_unites_and_tells_the_hardware(person, tmp_path):
    one, other = person("a", both("dsm")), person("b", both("nce"), machine="y")
    out = tmp_path / "out"
    done = commands.run("merge", one, other, "--out", out)
    assert done.exit_code == 0, done.output
    assert "2 runs are in" in done.output
    assert "timed on y (x, 1 thread): 1 runs" in done.output
    assert "code of commit" not in done.output
    assert "differ" not in done.output
    assert (out / "records" / "runs.csv").exists()


def test_code_of_several_commits_is_told(person):
    newer = make_run("nce")
    newer = changed(newer, provenance=changed(newer.provenance, commit="newer"))
    merged = merging.merge([person("a", both("dsm")), person("b", (newer, None))])
    assert "code of commit newer: 1 runs" in merged.summary("out")


@pytest.mark.parametrize("broken", ["disagreeing", "missing"])
def test_the_command_writes_nothing_of_what_it_refuses(broken, person, tmp_path):
    one, other = person("a", both("dsm")), person("b", both("dsm", 0.2))
    if broken == "missing":
        (other / "records" / "curves.parquet").unlink()
    out = tmp_path / "out"
    done = commands.run("merge", one, other, "--out", out)
    assert done.exit_code == 2
    assert str(other) in done.output
    assert not out.exists()


def test_records_that_are_not_merged_are_not_written_over(person):
    one, other = person("a", both("dsm")), person("b", both("nce"))
    before = (other / "records" / "runs.parquet").read_bytes()
    done = commands.run("merge", one, "--out", other)
    assert done.exit_code == 2
    assert "would be lost" in done.output
    assert (other / "records" / "runs.parquet").read_bytes() == before
    done = commands.run("merge", one, other, "--out", other)
    assert done.exit_code == 0, done.output
    assert len(collection.load(other / "records").runs) == 2


def test_the_suite_comes_along_where_all_have_the_same(person, tmp_path):
    folders = [person("a", both("dsm")), person("b", both("nce"))]
    for folder in folders:
        (folder / "records" / "suite.yaml").write_text("plugins: [../mine.py]\n")
        (folder / "records" / "mine.py").write_text("# mine\n")
    merging.merge(folders).write(tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out" / "records").iterdir()}
    assert {"suite.yaml", "mine.py"} <= kept
    assert not (tmp_path / "out" / "mine.py").exists()
    (folders[1] / "records" / "mine.py").write_text("# another\n")
    merged = merging.merge(folders)
    merged.write(tmp_path / "apart")
    assert "suites or plugins differ" in merged.summary("apart")
    assert not (tmp_path / "apart" / "records" / "suite.yaml").exists()
    # Nor does that of a source remain, where it is written over.
    (folders[1] / "records" / "suite.yaml").unlink()
    merged = merging.merge(folders)
    merged.write(folders[0])
    assert not (folders[0] / "records" / "suite.yaml").exists()
    assert "suites or plugins differ" in merged.summary(folders[0])


def test_no_suite_stays_beside_records_that_came_without_one(person, tmp_path):
    left = tmp_path / "out" / "records" / "suite.yaml"
    left.parent.mkdir(parents=True)
    left.write_text("plugins: []\n")
    merging.merge([person("a", both("dsm")), person("b", both("nce"))]).write(tmp_path / "out")
    assert not left.exists()


@pytest.mark.parametrize("text", ["- a list\n", "plugins: 5\n", "plugins: [3]\n", "a: ["], ids=repr)
def test_a_damaged_suite_beside_records_is_told(text, person):
    """Wherever a command reads it."""
    folders = [person("a", both("dsm")), person("b", both("nce"))]
    (folders[0] / "records" / "suite.yaml").write_text(text)
    for command in (
        ("merge", *folders, "--out", folders[0] / "out"),
        ("verify", folders[0], "--run-plugin"),
        ("verify", folders[0]),
    ):
        done = commands.run(*command)
        assert done.exit_code == 2, done.exception
        assert "suite.yaml: " in done.stderr


def test_a_folder_without_records_is_told(tmp_path):
    assert "not a results folder" in refused(tmp_path)
