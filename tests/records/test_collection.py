import json
import math
from pathlib import Path

import pandas as pd
import pytest
from factories.records import leave, make_evaluation, make_run

from ebm_bench.errors import InputError
from ebm_bench.records import collection
from ebm_bench.suites import suite


def test_tables_are_tidy(tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm"), make_evaluation("dsm")),
        leave(tmp_path / "b", make_run("nce")),
    ]
    tables = collection.collect(folders)
    values, curves = tables.values, tables.curves
    assert len(values) == 2
    assert set(values["method"]) == {"dsm"}
    assert values.set_index("replicate")["status"].to_dict() == {0: "ok", 1: "diverged"}
    assert values["value"].isna().tolist() == [False, True]
    assert values["train_seconds"].tolist() == [2.0, 2.0]
    assert [json.loads(text) for text in tables.runs["settings"]] == [{"sigma": 0.1}] * 2
    assert tables.runs["machine"].tolist() == ["x", "x"]
    assert set(curves["method"]) == {"dsm", "nce"}


def test_no_runs_make_empty_tables():
    tables = collection.collect([])
    for name, columns in collection.COLUMNS.items():
        assert getattr(tables, name).empty
        assert list(getattr(tables, name)) == columns


@pytest.mark.parametrize(
    ("other", "evaluation", "named"),
    [
        (make_run("nce", suite_version=2), make_evaluation("nce"), "suite 'small'"),
        (make_run("nce", dataset_version=2), make_evaluation("nce"), "dataset 'two_moons'"),
        (make_run("nce"), make_evaluation("nce", metric_version=2), "metric 'kl'"),
    ],
)
def test_mixed_versions_are_refused(other, evaluation, named, tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm"), make_evaluation("dsm")),
        leave(tmp_path / "b", other, evaluation),
    ]
    with pytest.raises(InputError, match=named) as caught:
        collection.collect(folders)
    assert "version 1: dsm; version 2: nce" in str(caught.value)


@pytest.mark.parametrize(
    ("versions", "listed"),
    [
        (("2.5.1", "2.6.0+cu124", "2.6.1"), "2.5: dsm; 2.6: nce, cd"),
        (("2.9.0", "2.10.0", "2.9.1"), "2.10: nce; 2.9: dsm, cd"),
        (("unknown", "2.6.0", "2.6.0"), "2.6: nce, cd; unknown: dsm"),
        (("2.6.0", "2.6.1+cpu", "2.6.1"), None),
    ],
)
def test_several_versions_of_torch_are_reported(versions, listed, tmp_path, caplog):
    folders = []
    for method, version in zip(("dsm", "nce", "cd"), versions, strict=True):
        run = make_run(method)
        provenance = run.provenance.model_copy(update={"torch": version})
        folders.append(leave(tmp_path / method, run.model_copy(update={"provenance": provenance})))
    assert len(collection.collect(folders).runs) == 3
    assert [listed in message for message in caplog.messages] == ([True] if listed else [])


def test_mixed_versions_are_refused_before_evaluation(tmp_path):
    folders = [
        leave(tmp_path / "a", make_run("dsm")),
        leave(tmp_path / "b", make_run("nce", suite_version=2)),
    ]
    with pytest.raises(InputError, match="suite 'small'"):
        collection.collect(folders)


def test_an_evaluation_of_an_older_run_does_not_count(tmp_path):
    leave(tmp_path / "a", make_run("a"), make_evaluation("a", fingerprint="older"))
    tables = collection.collect([tmp_path / "a"])
    assert tables.values.empty
    assert not tables.curves.empty


def test_runs_are_built_again_as_they_were(tmp_path):
    point = make_run().curve[0]
    odd = [point.model_copy(update={"step": 20, "value": v}) for v in (math.inf, -math.inf)]
    runs = {
        "a": make_run("a"),
        "b": make_run("b").model_copy(update={"curve": [point, *odd], "settings": {}}),
        "c": make_run("c", dataset="ring").model_copy(update={"curve": [], "control": True}),
    }
    tables = collection.collect(leave(tmp_path / name, run) for name, run in runs.items())
    tables.write(tmp_path / "records")
    built = collection.load(tmp_path / "records").records()
    assert {key[2]: run for key, run in built.items()} == runs
    assert list(built)[2] == ("small", "ring", "c")


def test_a_curve_that_is_not_a_number_is_kept(tmp_path):
    run = make_run()
    run.curve[0].value = math.nan
    collection.collect([leave(tmp_path / "a", run)]).write(tmp_path / "records")
    (built,) = collection.load(tmp_path / "records").records().values()
    assert math.isnan(built.curve[0].value)


def test_tables_read_back_as_they_were_written(tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run(), make_evaluation())])
    tables.write(tmp_path / "records")
    for name in collection.TABLES:
        pd.testing.assert_frame_equal(
            getattr(collection.load(tmp_path / "records"), name), getattr(tables, name)
        )
        text = pd.read_csv(tmp_path / "records" / f"{name}.csv")
        assert list(text) == collection.COLUMNS[name]


def test_a_table_that_is_missing_or_of_an_older_kind_is_named(tmp_path):
    with pytest.raises(InputError, match=r"runs\.parquet: does not exist; `ebm-bench collect`"):
        collection.load(tmp_path)
    tables = collection.collect([leave(tmp_path / "a", make_run())])
    tables.write(tmp_path)
    tables.runs.drop(columns="machine").to_parquet(tmp_path / "runs.parquet")
    with pytest.raises(InputError, match=r"runs\.parquet: has no column machine"):
        collection.load(tmp_path)


def test_a_column_that_came_later_has_its_default(tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run())])
    tables.write(tmp_path)
    tables.runs.drop(columns="space").to_parquet(tmp_path / "runs.parquet")
    loaded = collection.load(tmp_path)
    assert list(loaded.runs["space"]) == [""]
    assert loaded.records() == tables.records()


@pytest.mark.parametrize("column", ["outcomes", "threads"])
def test_a_row_that_is_no_run_is_named(column, tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run())])
    tables.runs[column] = "many"
    tables.write(tmp_path)
    with pytest.raises(InputError, match="small two_moons dsm: not a Run record") as caught:
        collection.load(tmp_path).records()
    assert str(caught.value).startswith(str(tmp_path / "runs.parquet"))


@pytest.mark.parametrize("column", ["value", "standard_error", "outside", "replicate"])
def test_a_value_that_is_no_number_is_told(column, tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run(), make_evaluation())])
    tables.values[column] = "many"
    tables.write(tmp_path)
    with pytest.raises(InputError, match=r"values\.parquet: a value is no number .*many"):
        collection.load(tmp_path)


@pytest.mark.parametrize("column", ["dataset", "method"])
def test_names_that_lead_out_of_a_folder_are_refused(column, tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run())])
    tables.runs[column] = "../elsewhere"
    with pytest.raises(InputError, match="not a Run record"):
        tables.records()


@pytest.mark.parametrize("name", ["quick", "toy"])
def test_a_suite_is_kept_with_what_was_tuned(name, tmp_path):
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.yaml"
    collection.keep_suite(suite.load(path), path, tmp_path)
    assert suite.load(tmp_path / collection.SUITE) == suite.load(path)


def test_settings_that_are_nothing_are_kept(tmp_path):
    path = Path(__file__).parents[2] / "benchmarks" / "quick.yaml"
    content = suite.load(path).model_dump(mode="json")
    content["methods"]["nce-gaussian"]["settings"]["noise_settings"] = None
    given = suite.check(content, "x")
    collection.keep_suite(given, path, tmp_path)
    assert suite.load(tmp_path / collection.SUITE) == given


@pytest.mark.parametrize("older", [[True, True], [True, False], [False, False]])
def test_what_older_records_did_not_count_is_not_known(older, tmp_path):
    folders = []
    for name, unknown in zip(("dsm", "nce"), older, strict=True):
        run = make_run(name)
        run.cost.noise_evaluations = None if unknown else 384
        folders.append(leave(tmp_path / name, run, make_evaluation(name)))
    collection.collect(folders).write(tmp_path)
    found = collection.load(tmp_path).records().values()
    expected = [None if unknown else 384 for unknown in older]
    assert [run.cost.noise_evaluations for run in found] == expected


def test_tables_from_before_they_were_counted_are_read(tmp_path):
    tables = collection.collect([leave(tmp_path / "a", make_run("dsm"), make_evaluation("dsm"))])
    tables.write(tmp_path)
    for name in ("runs", "values"):
        older = getattr(tables, name).drop(columns="noise_evaluations")
        older.to_parquet(tmp_path / f"{name}.parquet")
    (run,) = collection.load(tmp_path).records().values()
    assert run.cost.noise_evaluations is None
