import numpy as np
import pandas as pd
import pytest

from ebm_bench.errors import InputError
from ebm_bench.records import collection
from ebm_bench.report import loading
from ebm_bench.report.figures.curves import curves
from ebm_bench.report.page import details, views


def by_label(results, dataset="plane"):
    return {row.label: row for row in results.rows(dataset)}


def test_rows_come_ranked_with_controls_last(results):
    labels = [row.label for row in results.rows("plane")]
    assert set(labels[:2]) == {"winner", "equal"}
    assert labels[4] == "slow_100 (flow)"  # by-products are not ranked
    assert labels[5:] == ["truth", "gaussian_fit"]
    assert [row.rank for row in results.rows("plane")][5:] == [None, None]


def test_equal_methods_are_tied_and_the_others_are_not(results):
    rows = by_label(results)
    assert {name for name, row in rows.items() if row.best} == {"winner", "equal"}
    assert str(rows["winner"].place).endswith("≈")


def test_each_dataset_is_ranked_in_the_direction_of_its_metric(results):
    rows = by_label(results, "pixels")
    assert rows["slow_100"].rank == 4
    assert {name for name, row in rows.items() if row.best} == {"winner", "equal"}


def test_failures_are_told(results):
    row = by_label(results)["unlucky"]
    assert row.status == "2 of 6 diverged at step 120"
    found = results.estimate("plane", row, "kl")
    assert (found.n, found.failed) == (4, 2)


def test_a_run_that_is_missing_is_shown_and_not_ranked(forget):
    results = forget("plane", "winner", "run.json", "evaluation.json", "pictures.npz")
    row = by_label(results)["winner"]
    assert (row.status, row.rank) == ("not run", None)
    assert np.isnan(row.seconds)
    assert results.missing()["not run"] == ["plane/winner"]
    assert [r.label for r in results.rows("plane") if not r.control][-1] == "winner"


def test_a_run_without_evaluation_is_shown_and_not_ranked(forget):
    results = forget("plane", "unlucky", "evaluation.json", "pictures.npz")
    row = by_label(results)["unlucky"]
    assert row.rank is None
    assert row.status == "2 of 6 diverged at step 120, not evaluated"
    assert results.missing()["not evaluated"] == ["plane/unlucky"]


def test_a_run_that_failed_altogether_is_ranked_last_even_without_evaluation(forget, change):
    forget("plane", "winner", "evaluation.json", "pictures.npz")

    def fail(record):
        for outcome in record["outcomes"]:
            outcome["status"] = "out_of_memory"

    results = change("plane", "winner", "run.json", fail)
    row = by_label(results)["winner"]
    assert row.rank == max(r.rank for r in results.rows("plane") if r.rank)
    assert results.estimate("plane", row, "kl").failed == 6


def test_pictures_of_an_earlier_training_are_not_shown(results, change):
    assert results.pictures("plane", "winner")
    # Trained again since, and not evaluated.
    later = change("plane", "winner", "run.json", lambda record: record.update(fingerprint="g"))
    assert later.missing()["not evaluated"] == ["plane/winner"]
    assert later.pictures("plane", "winner") == {}
    assert later.pictures("plane", "equal")

    def fail(record):
        for outcome in record["outcomes"]:
            outcome["status"] = "diverged"

    failed = change("plane", "winner", "run.json", fail)
    assert failed.estimate("plane", by_label(failed)["winner"], "kl").failed == 6
    assert failed.pictures("plane", "winner") == {}


def test_a_metric_that_may_not_apply_is_not_failed(suite, forget, change):
    suite.datasets["plane"].metrics["log_z_error"] = {}
    forget("plane", "winner", "evaluation.json", "pictures.npz")

    def fail(record):
        for outcome in record["outcomes"]:
            outcome["status"] = "diverged"

    results = change("plane", "winner", "run.json", fail)
    for method in ("winner", "unlucky"):  # not evaluated, and evaluated without that metric
        row = by_label(results)[method]
        assert str(results.estimate("plane", row, "log_z_error")) == "–"
    assert str(results.estimate("plane", by_label(results)["winner"], "kl")) == "failed"


def test_values_that_are_not_finite_cost_the_place(change):
    def spoil(record):
        for value in record["values"]:
            value["value"] = float("inf") if value["metric"] == "kl" else value["value"]

    results = change("plane", "winner", "evaluation.json", spoil)
    row = by_label(results)["winner"]
    assert row.rank == 4
    assert results.estimate("plane", row, "kl").not_finite == 6


def test_parts_of_metrics_are_kept_apart(results):
    assert results.parts("plane") == ["kl.gap"]
    assert results.parts("pixels") == []


def test_records_that_were_not_collected(suite, tmp_path):
    with pytest.raises(InputError, match="ebm-bench collect` writes it"):
        loading.load(suite, tmp_path)


def test_records_of_another_version_are_refused(suite, folder):
    newer = suite.model_copy(update={"version": 3})
    with pytest.raises(InputError, match="suite is 2 in the record and 3 in"):
        loading.load(newer, folder)


def test_the_records_are_enough(suite, folder, results):
    for stage in ("run.json", "evaluation.json", "pictures.npz"):
        for path in folder.glob(f"runs/*/*/{stage}"):
            path.unlink()
    alone = loading.load(suite, folder)
    assert alone.runs == results.runs
    pd.testing.assert_frame_equal(alone.values, results.values)


def test_records_of_another_suite_are_left_aside(suite, folder):
    tables = collection.load(folder / "records")
    other = {n: getattr(tables, n).assign(suite="other") for n in collection.TABLES}
    collection.Tables(**other).write(folder / "records")
    assert not loading.load(suite, folder).runs


def test_runs_that_left_the_suite_are_left_aside(suite, folder):
    values = pd.read_parquet(folder / "records" / "values.parquet")
    strange = values[values["method"] == "winner"].assign(method="removed")
    pd.concat([values, strange]).to_parquet(folder / "records" / "values.parquet")
    labels = by_label(loading.load(suite, folder))
    assert "removed" not in labels


def test_empty_records_give_rows_that_were_not_run(suite, tmp_path):
    collection.collect([]).write(tmp_path / "records")
    results = loading.load(suite, tmp_path)
    assert {row.status for row in results.rows("plane")} == {"not run"}
    assert curves(results, "plane").axes  # which looks into the columns of the curves


def escape(outside, model="energy"):
    """Say how much of the mass of some replicates lies far from the data."""

    def edit(record):
        for value in record["values"]:
            if value["model"] == model and value["replicate"] in outside:
                value["outside"] = outside[value["replicate"]]

    return edit


def test_a_model_with_mass_far_from_the_data_takes_the_last_place(change):
    results = change("plane", "winner", "evaluation.json", escape({0: 0.5, 3: 0.011, 4: 0.009}))
    row = by_label(results)["winner"]
    found = results.estimate("plane", row, "kl")
    assert (found.n, found.failed, found.escaped) == (4, 2, 2)
    assert str(found).endswith("(2 of 6 escaped)")
    assert row.status == "2 of 6 escaped"
    assert row.mean_rank > 2
    assert not row.reference
    # Its numbers stay in the records.
    kept = results.values.query("dataset == 'plane' and method == 'winner' and metric == 'kl'")
    assert kept["value"].notna().all()
    assert sorted(kept["status"].unique()) == ["escaped", "ok"]


def test_a_method_that_always_escapes_is_last(change):
    results = change("plane", "winner", "evaluation.json", escape(dict.fromkeys(range(6), 1.0)))
    row = by_label(results)["winner"]
    assert (row.rank, row.best, row.status) == (4, False, "6 of 6 escaped")
    assert str(results.estimate("plane", row, "kl")) == "failed (6 of 6 escaped)"


def test_controls_and_by_products_that_escape(change):
    change("plane", "gaussian_fit", "evaluation.json", escape({0: 0.5}))
    results = change("plane", "slow_100", "evaluation.json", escape({0: 0.5, 1: 0.02}, "flow"))
    rows = by_label(results)
    assert rows["gaussian_fit"].status == "ok"  # a control that is broad is as it should be
    assert results.estimate("plane", rows["gaussian_fit"], "kl").n == 6
    assert rows["slow_100"].status == "ok"
    assert rows["slow_100 (flow)"].status == "2 of 6 escaped"


def test_records_that_do_not_say_where_mass_lies_claim_nothing(suite, folder):
    for kind in ("parquet", "csv"):
        (folder / "records" / f"values.{kind}").unlink(missing_ok=True)
    tables = collection.collect(sorted(p.parent for p in folder.glob("runs/*/*/run.json")))
    tables.values.drop(columns="outside").to_parquet(folder / "records" / "values.parquet")
    rows = by_label(loading.load(suite, folder))
    assert "escaped" not in " ".join(row.status for row in rows.values())


@pytest.mark.parametrize(
    ("model", "others"), [("energy", {"slow_100 (flow)"}), ("flow", {"slow_100"})]
)
def test_an_escape_is_of_one_model_of_a_method(model, others, change):
    results = change("plane", "slow_100", "evaluation.json", escape({0: 0.5, 1: 0.02}, model))
    rows = by_label(results)
    for name in ("slow_100", "slow_100 (flow)"):
        row = rows[name]
        gone = [o.replicate for o in row.outcomes if o.status == "escaped"]
        assert gone == ([] if name in others else [0, 1])
        assert row.status == ("ok" if name in others else "2 of 6 escaped")
        assert views.state(row) == ("ok" if name in others else "failed")
        assert (row.steps, len(row.outcomes)) == (1000, 6)


def test_a_by_product_is_told_how_training_ended_whatever_its_energy_did(change):
    def stop(record):
        for outcome in record["outcomes"]:
            outcome["status"] = "timeout"

    change("plane", "slow_100", "run.json", stop)
    results = change("plane", "slow_100", "evaluation.json", escape(dict.fromkeys(range(6), 1.0)))
    rows = by_label(results)
    assert rows["slow_100"].status == "6 of 6 escaped"
    assert rows["slow_100 (flow)"].status.startswith("6 of 6")
    assert "escaped" not in rows["slow_100 (flow)"].status
    assert views.state(rows["slow_100 (flow)"]) == "early"
    shown = details.methods(results, "suite.yaml")["slow_100"]["places"]["plane"]
    assert {status for _, status, _ in shown["outcomes"]} == {"escaped"}
    assert shown["curve"]["failed"] == list(range(6))


@pytest.mark.parametrize(("steps", "failed"), [(900, 0), (1000, 2)])
def test_an_escape_is_known_at_the_end_alone(change, steps, failed):
    from ebm_bench.report import budgets

    change("plane", "winner", "evaluation.json", escape({0: 0.5, 3: 0.5}))

    def shorten(record):
        record["curve"] = [p for p in record["curve"] if p["step"] < 1000]
        record["curve"] += [
            {**p, "step": steps, "energy_evaluations": steps}
            for p in record["curve"] if p["step"] == 316
        ]  # fmt: skip

    results = change("plane", "equal", "run.json", shorten)
    equal = budgets.at_equal(results, "steps")
    assert equal.limits["plane"].amount == steps
    assert equal.estimate("plane", by_label(equal)["winner"], "kl").escaped == failed
