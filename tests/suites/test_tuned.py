"""What a suite does with its tuned values."""

import pytest
import yaml
from factories.suites import SEARCHED, changed

from ebm_bench.errors import InputError
from ebm_bench.suites import suite

SCORED = {"learning_rate": 0.01, "settings": {"sigma": 0.5}, "score": 1.0}
TUNED = {
    "suite": "small",
    "suite_version": 1,
    "date": "2025-01-01T00:00:00+00:00",
    "version": ["0.1.0"],
    "commit": ["abc"],
    "seed": 5,
    "trials": 3,
    "steps": 5,
    "replicates": 2,
    "learning_rates": [0.001, 0.01, 0.1],
    "datasets": {
        "two_moons": {
            "criterion": "negative_log_likelihood",
            "serves": ["pinwheel"],
            "methods": {
                "dsm": {"best": SCORED, "trials": 3, "failed": 1},
                "nce": {
                    "best": {"learning_rate": 0.001, "settings": {"ratio": 5.0}, "score": 2.0},
                    "trials": 3,
                    "failed": 0,
                },
                "dsm-0.1": {"trials": 3, "failed": 3},
            },
        }
    },
}


def load(folder, content=SEARCHED, tuned=TUNED):
    (folder / "values").mkdir(exist_ok=True)
    (folder / "values" / "a.yaml").write_text(yaml.safe_dump(tuned))
    (folder / "suite.yaml").write_text(yaml.safe_dump({**content, "tuned": "values/a.yaml"}))
    return suite.load(folder / "suite.yaml")


def test_a_suite_uses_its_tuned_values(tmp_path):
    loaded = load(tmp_path)
    for dataset in ("two_moons", "pinwheel"):
        assert loaded.settings_of(dataset, "dsm") == {"sigma": 0.5}
        assert loaded.budget_of(dataset, "dsm").learning_rate == 0.01
    assert loaded.settings_of("banana", "dsm") == {}
    assert loaded.budget_of("banana", "dsm").learning_rate == 0.1
    # What the suite says of one dataset stays, whatever was found on another.
    assert loaded.settings_of("pinwheel", "nce") == {"ratio": 3.0}
    assert loaded.budget_of("pinwheel", "nce").learning_rate == 0.001


def test_a_method_that_failed_in_every_trial_keeps_its_own_values(tmp_path):
    loaded = load(tmp_path)
    assert loaded.settings_of("two_moons", "dsm-0.1") == {"sigma": 0.1}
    assert loaded.budget_of("two_moons", "dsm-0.1").learning_rate == 0.1


def test_tuning_begins_at_the_values_of_the_suite(tmp_path):
    load(tmp_path)
    for text in (None, "broken: ["):
        if text:
            (tmp_path / "values" / "a.yaml").write_text(text)
        loaded = suite.load(tmp_path / "suite.yaml", tuned=False)
        assert loaded.settings_of("two_moons", "dsm") == {}


def slices(loaded):
    return {
        (dataset, method): loaded.training_slice(dataset, method)
        for dataset in loaded.datasets
        for method in loaded.methods_of(dataset)
    }


AT = ("datasets", "two_moons", "methods")


@pytest.mark.parametrize(
    ("tuned", "retrained"),
    [
        (changed(TUNED, *AT, "dsm", "best", "settings", "sigma", to=0.2), {"dsm"}),
        (changed(TUNED, *AT, "nce", "best", "learning_rate", to=0.01), {"nce"}),
        (changed(TUNED, *AT, "dsm-0.1", "best", to={**SCORED, "settings": {}}), {"dsm-0.1"}),
        (changed(TUNED, *AT, "dsm", "best", "score", to=0.5), set()),
        (changed(TUNED, *AT, "dsm", "runner_up", to=SCORED), set()),
        (changed(TUNED, "date", to="2026-01-01T00:00:00+00:00"), set()),
    ],
    ids=["setting", "rate", "found", "score", "runner-up", "date"],
)
def test_training_depends_on_the_values_of_its_own_method(tuned, retrained, tmp_path):
    before, after = slices(load(tmp_path)), slices(load(tmp_path, tuned=tuned))
    different = {run for run in before if before[run] != after[run]}
    assert different == {(d, m) for m in retrained for d in ("two_moons", "pinwheel")}


def test_without_tuned_values_slices_are_those_of_the_suite_alone():
    untuned = {key: value for key, value in SEARCHED.items() if key != "tuning"}
    assert slices(suite.check(SEARCHED, "x")) == slices(suite.check(untuned, "x"))


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        (changed(TUNED, *AT, "dms", to={"trials": 3, "failed": 3}), "Did you mean 'dsm'?"),
        (changed(TUNED, *AT, "dsm", "best", "settings", to={"sigmo": 1.0}), "'sigma'?"),
        (changed(TUNED, *AT, "dsm", "best", "settings", to={"sigma": -1.0}), "sigma = -1.0"),
        (changed(TUNED, *AT, "dsm-0.1", "best", to=SCORED), "the suite states sigma itself"),
        (changed(TUNED, *AT, "dsm", "best", "learning_rate", to=0), "greater than 0"),
        (changed(TUNED, "datasets", "two_moon", to={"criterion": "x", "methods": {}}), "two_moons"),
        (changed(TUNED, "datasets", "two_moons", "serves", to=["bananna"]), "'banana'?"),
        (changed(TUNED, "datasets", "two_moons", "serves", to=["two_moons"]), "is listed twice"),
        (changed(TUNED, "sede", to=1), "Did you mean 'seed'?"),
        (changed(TUNED, "datasets", to=3), "values/a.yaml: datasets"),
    ],
)
def test_bad_tuned_values_are_told_in_one_message(tuned, said, tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path, tuned=tuned)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "tuned" in message or "values/a.yaml" in message
    assert said in message


def test_a_missing_file_of_tuned_values_is_told_with_its_remedy(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SEARCHED, "tuned": "no.yaml"}))
    with pytest.raises(InputError, match=r"no\.yaml: cannot be read") as caught:
        suite.load(path)
    assert "ebm-bench tune" in str(caught.value)
