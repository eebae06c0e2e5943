"""Tuning from the command line."""

import pytest
import yaml
from factories.commands import run
from factories.suites import changed, describe, few, toy

AT = ("datasets", "two_moons")
SMALL = describe(few("dsm", "gaussian"), {"two_moons": toy(4)})


@pytest.fixture
def tunable(tmp_path):
    path = tmp_path / "tunable.yaml"
    search = {"trials": 2, "steps": 2, "replicates": 1, "datasets": {"two_moons": []}}
    path.write_text(yaml.safe_dump({**SMALL, "tuning": search}))
    return path


def test_tune_writes_values_that_the_suite_can_use(tunable, tmp_path):
    out = tmp_path / "trials"
    one = run("tune", "--suite", tunable, "--out", out, "--dataset", "two_moons")
    assert one.exit_code == 0, one.output
    file = tmp_path / "tuned" / "small.yaml"
    assert not file.exists()
    done = run("tune", "--suite", tunable, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"2 trials; the values are in {file}" in done.output
    tunable.write_text(f"{tunable.read_text()}tuned: tuned/small.yaml\n")
    assert run("check", tunable).exit_code == 0


def test_tune_puts_a_method_that_joins_beside_the_others(tunable, tmp_path):
    where = ["tune", "--suite", tunable, "--out", tmp_path / "trials"]
    joins = [*where, "--method", "dsm-0.4"]
    first = yaml.safe_load(tunable.read_text())
    methods = {"dsm-0.4": {"objective": "denoising_score_matching", "settings": {"sigma": 0.4}}}
    content = {**first, "methods": {**first["methods"], **methods}}
    tunable.write_text(yaml.safe_dump(content))
    done = run(*joins)
    assert done.exit_code == 2
    assert "`ebm-bench tune` writes the file" in done.output
    tunable.write_text(yaml.safe_dump(first))
    assert run(*where).exit_code == 0
    file = tmp_path / "tuned" / "small.yaml"
    before = {**yaml.safe_load(file.read_text()), "date": "2020-01-01T00:00:00+00:00"}
    file.write_text(yaml.safe_dump(before))
    other = {**content, "tuning": {**first["tuning"], "steps": 3}}
    tunable.write_text(yaml.safe_dump(other))
    done = run(*joins)
    assert done.exit_code == 2
    assert "another search than the suite's: steps differs" in done.output
    tunable.write_text(yaml.safe_dump(content))
    file.write_text(yaml.safe_dump(changed(before, *AT, "criterion", to="hyvarinen_score")))
    assert "the suite's: datasets.two_moons.criterion differs" in run(*joins).output
    # So were those with another batch, unless nobody knows.
    file.write_text(yaml.safe_dump(changed(before, *AT, "methods", "dsm", "batch_size", to=7)))
    told = "datasets.two_moons.methods.dsm: was tuned with another batch size than the suite's"
    assert told in run(*joins).output
    values = before["datasets"]["two_moons"]["methods"]["dsm"]
    values.pop("batch_size"), values.pop("energy")
    file.write_text(yaml.safe_dump(before))
    done = run(*joins)
    assert done.exit_code == 0, done.output
    after = yaml.safe_load(file.read_text())
    methods = [each["datasets"]["two_moons"]["methods"] for each in (before, after)]
    assert after["date"] > before["date"]
    assert methods[1].keys() == {"dsm", "dsm-0.4"}
    assert methods[1]["dsm"] == methods[0]["dsm"]
    # Of a method that left the dataset, the suite has no use for values.
    content["datasets"]["eight_gaussians"] = toy(4)
    content["methods"]["dsm"]["datasets"] = ["eight_gaussians"]
    tunable.write_text(yaml.safe_dump(content))
    assert run(*joins).exit_code == 0
    left = yaml.safe_load(file.read_text())["datasets"]["two_moons"]["methods"]
    assert left == {"dsm-0.4": methods[1]["dsm-0.4"]}


def test_tune_says_where_there_is_nothing_to_tune(tunable, tmp_path):
    out = tmp_path / "trials"
    chosen = ("--dataset", "two_moons", "--method", "gaussian")
    done = run("tune", "--suite", tunable, "--out", out, *chosen)
    assert done.exit_code == 0
    assert "Nothing to tune: gaussian trains nothing" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "two_mons"], "unknown dataset of tuning 'two_mons'"),
        (["--dataset", "two_moons", "--method", "dms"], "Did you mean 'dsm'?"),
        (["--method", "dsm"], "small.yaml: cannot be read"),
    ],
)
def test_bad_arguments_of_tune_end_with_2(arguments, said, tunable, tmp_path):
    done = run("tune", "--suite", tunable, "--out", tmp_path, *arguments)
    assert done.exit_code == 2
    assert said in done.output
