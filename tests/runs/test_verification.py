import math

import pandas as pd
import pytest
import safetensors.torch
import yaml
from factories import commands
from factories.suites import describe, few, toy

from ebm_bench import registry
from ebm_bench.datasets.curves import TwoMoons
from ebm_bench.errors import InputError
from ebm_bench.records import collection
from ebm_bench.runs import evaluation, training, verification
from ebm_bench.suites import suite

TOLERANCE = 1e-2
TOY = toy(
    12,
    replicates=3,
    metrics={"hyvarinen_score": {}, "energy_distance": {"points": 200}},
    curve_points=3,
    compute="eager",
)
CONTENT = describe(few("dsm", "nce", "gaussian"), {"two_moons": TOY}, "tiny")
PLUGIN = '''
"""A plugin that leaves a trace of being executed."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register

Path({trace!r}).write_text("executed")


@register
@dataclass(eq=False, kw_only=True)
class Squared(Objective):
    """Small energies everywhere."""

    def loss(self, energy, x, streams) -> torch.Tensor:
        """The mean square, shape (R,)."""
        return energy(x).square().mean(1)
'''


def make(folder, content, source):
    """Train and evaluate all runs of a suite, and collect them, as the commands do."""
    source.write_text(yaml.safe_dump(content))
    chosen = suite.load(source)
    runs = folder / "runs"
    training.train(chosen, "two_moons", list(chosen.methods), runs)
    folders = [runs / "two_moons" / method for method in chosen.methods]
    for method, each in zip(chosen.methods, folders, strict=True):
        evaluation.evaluate(chosen, "two_moons", method, each, "cpu")
    collection.collect(folders).write(folder / "records")
    collection.keep_suite(chosen, source, folder / "records")


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed in")
    make(folder, CONTENT, tmp_path_factory.mktemp("own") / "tiny.yaml")
    return folder


@pytest.fixture
def submission(handed_in, tmp_path):
    """A copy without what a submission need not have, that a test may spoil."""
    folder = tmp_path / "submission"
    for path in [*handed_in.glob("records/*"), *handed_in.glob("runs/*/*/weights.safetensors")]:
        copy = folder / path.relative_to(handed_in)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


def edit(folder, table, change):
    path = folder / "records" / f"{table}.parquet"
    rows = pd.read_parquet(path)
    changed = change(rows)  # in place, or anew
    (rows if changed is None else changed).to_parquet(path)


def verify(folder, replicate=None, **chosen):
    return verification.verify(verification.load(folder, **chosen), "cpu", TOLERANCE, replicate)


def broken(checks):
    return {(c.method, c.how, c.replicate, c.what) for c in checks if not c.holds}


def test_an_honest_submission_holds(submission):
    before = sorted(submission.rglob("*"))
    checks = verify(submission)
    assert not broken(checks)
    ended = [c for c in checks if c.what.startswith("status of ")]
    measured = [c for c in checks if c.how == verification.MEASURED and c not in ended]
    assert {c.found for c in ended} == {"ok"}
    assert len(measured) == len(collection.load(submission / "records").values)
    assert {c.method for c in measured} == set(CONTENT["methods"])
    assert all(c.submitted == pytest.approx(c.found, rel=1e-6) for c in measured)
    (again,) = {(c.method, c.replicate) for c in checks if c.how == verification.RETRAINED}
    assert again[0] in ("dsm", "nce")
    whats = {c.what for c in checks if c.how == verification.RETRAINED}
    assert {"status", "curve at step 12", "energy evaluations",
            "hyvarinen_score of energy"} <= whats  # fmt: skip
    assert sorted(submission.rglob("*")) == before


@pytest.mark.parametrize("replicate", [0, 2])
def test_any_replicate_can_be_trained_again(replicate, submission):
    checks = verify(submission, replicate, methods=["nce"])
    assert not broken(checks)
    again = [c for c in checks if c.how == verification.RETRAINED]
    assert {(c.method, c.replicate) for c in again} == {("nce", replicate)}


def test_the_cheapest_training_is_repeated(submission):
    for method in ("dsm", "nce"):

        def cheapen(rows, method=method):
            rows.loc[rows["method"] == method, "train_seconds"] = 1e-9
            rows.loc[rows["method"] != method, "train_seconds"] = 1.0
            rows.loc[rows["method"] == "gaussian", "train_seconds"] = 0.0

        edit(submission, "runs", cheapen)
        loaded = verification.load(submission)
        assert verification.to_retrain(loaded, None) == (("two_moons", method), 0)


@pytest.mark.parametrize(
    ("steps", "compute"),
    [("eager", "eager"), ("compiled", "compiled"), ("mixed", "mixed"), ("", "auto")],
)
def test_steps_are_repeated_as_they_ran(steps, compute, submission, monkeypatch):
    """Whether `auto` compiles depends on replicates, of which fewer are repeated."""
    path = submission / "records" / collection.SUITE
    path.write_text(path.read_text().replace("compute: eager", "compute: auto"))
    edit(submission, "runs", lambda rows: rows.assign(steps=steps))

    class BegunError(Exception):
        pass

    def begin(chosen, dataset, *others):
        raise BegunError(chosen.datasets[dataset].compute)

    monkeypatch.setattr(training, "train", begin)
    with pytest.raises(BegunError, match=f"^{compute}$"):
        verify(submission, methods=["dsm"])


def test_a_failed_replicate_is_not_the_one_to_repeat(submission):
    def fail(rows):
        rows["outcomes"] = rows["outcomes"].str.replace('"ok"', '"diverged"', n=1)

    edit(submission, "runs", fail)
    loaded = verification.load(submission, methods=["dsm"])
    assert verification.to_retrain(loaded, None) == (("two_moons", "dsm"), 1)


def test_a_run_that_ended_well_is_preferred_to_one_that_failed(submission):
    def fail(rows):
        rows.loc[rows["method"] == "nce", "train_seconds"] = 1e-9
        rows.loc[rows["method"] == "nce", "outcomes"] = (
            rows["outcomes"].str.replace('"ok"', '"diverged"').str.replace("timeout", "diverged")
        )

    edit(submission, "runs", fail)
    assert verification.to_retrain(verification.load(submission), None)[0][1] != "nce"
    alone = verification.load(submission, methods=["nce"])
    assert verification.to_retrain(alone, None) == (("two_moons", "nce"), 0)


def test_of_failures_only_what_diverged_is_repeated(submission):
    def fail(rows):
        ended = rows["outcomes"].str.replace('"ok"', '"timeout"', n=1)
        rows["outcomes"] = ended.str.replace('"ok"', '"diverged"')

    edit(submission, "runs", fail)
    loaded = verification.load(submission, methods=["dsm"])
    assert verification.to_retrain(loaded, None) == (("two_moons", "dsm"), 1)
    with pytest.raises(InputError, match=r"replicate 0 ended by timeout\. Valid: 1, 2"):
        verification.to_retrain(loaded, 0)


def test_what_time_ended_is_not_repeated(submission):
    edit(submission, "runs", lambda rows: rows.update(
        {"outcomes": rows["outcomes"].str.replace('"ok"', '"timeout"')}))  # fmt: skip
    edit(submission, "values", lambda rows: rows.assign(status="timeout"))
    assert verification.to_retrain(verification.load(submission), None) is None
    assert not broken(verify(submission))


def test_a_status_that_the_models_do_not_have_does_not_hold(submission):
    def spoil(rows):
        rows.loc[(rows["method"] == "nce") & (rows["replicate"] == 1), "status"] = "escaped"

    edit(submission, "values", spoil)
    measured = "nce", verification.MEASURED, 1, "status of energy"
    assert broken(verify(submission)) == {measured}


def test_a_better_value_does_not_hold(submission):
    def improve(rows):
        chosen = (rows["method"] == "nce") & (rows["metric"] == "energy_distance")
        rows.loc[chosen & (rows["replicate"] == 1), "value"] *= 0.9

    edit(submission, "values", improve)
    found = broken(verify(submission, methods=["nce"]))
    assert found == {("nce", verification.MEASURED, 1, "energy_distance of energy")}


def test_a_value_that_was_left_out_does_not_hold(submission):
    def leave_out(rows):
        chosen = (rows["method"] == "nce") & (rows["replicate"] == 1)
        return rows[~(chosen & (rows["metric"] == "energy_distance"))]

    edit(submission, "values", leave_out)
    checks = verify(submission, methods=["nce"])
    assert broken(checks) == {("nce", verification.MEASURED, 1, "energy_distance of energy")}
    assert math.isnan(next(c for c in checks if not c.holds).submitted)


def test_weights_from_elsewhere_are_found_out_by_training_again(submission):
    """Values measured of better weights hold; that training leads there does not."""
    path = submission / "runs/two_moons/nce/weights.safetensors"
    weights = safetensors.torch.load_file(path)
    changed = {k: v * 1.5 if k.endswith("weight") else v for k, v in weights.items()}
    safetensors.torch.save_file(changed, path)
    again = {c.what: c.found for c in verify(submission, methods=["nce"]) if
             c.how == verification.MEASURED and c.replicate == 0
             and not isinstance(c.found, str)}  # fmt: skip

    def adopt(rows):
        for what, value in again.items():
            chosen = (rows["method"] == "nce") & (rows["replicate"] == 0)
            rows.loc[chosen & (rows["metric"] == what.removesuffix(" of energy")), "value"] = value

    edit(submission, "values", adopt)
    found = broken(verify(submission, 0, methods=["nce"]))
    assert not {f for f in found if f[1] == verification.MEASURED and f[2] == 0}
    assert ("nce", verification.RETRAINED, 0, "energy_distance of energy") in found


def test_a_made_up_curve_does_not_hold(submission):
    edit(submission, "curves", lambda rows: rows.update({"value": rows["value"] + 1.0}))
    whats = {what for *_, what in broken(verify(submission, methods=["dsm"]))}
    assert "curve at step 12" in whats


def refused(folder, **chosen):
    with pytest.raises(InputError) as caught:
        verify(folder, **chosen)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["records/suite.yaml", "records/runs.parquet", "records/values.parquet",
     "runs/two_moons/dsm/weights.safetensors"],
)  # fmt: skip
def test_a_missing_file_is_named(name, submission):
    (submission / name).unlink()
    assert name in refused(submission)


def test_damaged_weights_are_named(submission):
    path = submission / "runs/two_moons/dsm/weights.safetensors"
    path.write_bytes(b"\x80\x04pickled")
    told = refused(submission)
    assert f"{path}: cannot be loaded" in told
    assert "train again" not in told


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("suite", "other", "suite is other in the record and tiny in the suite"),
        ("suite_version", 2, "version of the suite is 2 in the record and 1 in the suite"),
        ("settings", '{"sigma": 0.4}', "settings.sigma is 0.4 in the record and 0.3 in the suite"),
        ("seed", 7, "seed is 7 in the record and 0 in the suite"),
    ],
)
def test_records_that_are_not_of_the_suite_are_refused(column, value, said, submission):
    edit(submission, "runs", lambda rows: rows.update({column: [value] * len(rows)}))
    assert f"dsm on two_moons: {said}" in refused(submission, methods=["dsm"])


def test_names_and_replicates_that_are_not_there(submission):
    assert "Did you mean 'dsm'?" in refused(submission, methods=["dms"])
    assert "unknown dataset of this submission" in refused(submission, datasets=["ring"])
    assert "replicate 3 is not there. Valid: 0, 1, 2" in refused(submission, replicate=3)


def test_another_kind_of_device_is_refused(submission):
    edit(submission, "runs", lambda rows: rows.update({"device": ["cuda:0"] * len(rows)}))
    assert "was made on cuda" in refused(submission)


def test_the_suite_beside_the_records_is_the_one_that_was_run(handed_in, tmp_path):
    kept = suite.load(handed_in / "records" / collection.SUITE)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    assert kept == suite.load(tmp_path / "tiny.yaml")


@pytest.fixture
def forget_plugins(monkeypatch):
    """Stand in for another process, and leave nothing to other tests."""

    def forget():
        monkeypatch.setattr(registry, "_loaded", {})
        registry.entries.cache_clear()

    forget()
    yield forget
    monkeypatch.undo()
    registry.entries.cache_clear()


def test_a_plugin_is_executed_on_demand_alone(forget_plugins, tmp_path):
    trace, source, folder = tmp_path / "trace", tmp_path / "own" / "squared.yaml", tmp_path / "sub"
    source.parent.mkdir()
    source.with_name("squared.py").write_text(PLUGIN.format(trace=str(trace)))
    methods = {"mine": {"objective": "squared"}}
    make(folder, {**CONTENT, "methods": methods, "plugins": ["squared.py"]}, source)
    trace.unlink()
    source.with_name("squared.py").unlink()
    forget_plugins()
    told = refused(folder)
    assert "squared.py" in told
    assert "--run-plugin" in told
    assert not trace.exists()
    done = commands.run("verify", folder, "--run-plugin")
    assert done.exit_code == 0, done.output
    assert trace.exists()


def test_without_the_data_it_is_not_the_numbers_that_are_wrong(submission, monkeypatch):
    def missing(*arguments, **keywords):
        raise InputError("two_moons is not prepared; run: ebm-bench prepare")

    monkeypatch.setattr(TwoMoons, "sample", missing)
    done = commands.run("verify", submission, "--method", "nce")
    assert done.exit_code == 2, done.output
    assert "two_moons is not prepared" in done.output
    assert "do not hold" not in done.output


def test_the_command_tells_what_holds(submission, tmp_path):
    def verified(*options):
        return commands.run("verify", submission, "--method", "nce", *options)

    done = verified("--out", str(tmp_path / "all.csv"))
    assert done.exit_code == 0, done.output
    numbers = pd.read_csv(tmp_path / "all.csv")
    assert f"All {len(numbers)} numbers hold." in done.output
    edit(submission, "values", lambda rows: rows.update({"value": rows["value"] * 1.1}))
    done = verified()
    assert done.exit_code == 1
    assert "do not hold" in done.output
    assert "energy_distance of energy" in done.output
    (submission / "runs/two_moons/nce/weights.safetensors").unlink()
    assert verified().exit_code == 2
