import copy
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.suites import suite
from ebm_bench.suites.tuning import latin_hypercube

TOY = {
    "energy": {"name": "mlp"},
    "budget": {"steps": 10, "learning_rate": 0.1},
    "sampler": {"name": "langevin"},
    "metrics": {"hyvarinen_score": {"points": 77}},
    "rank_by": "hyvarinen_score",
    "curve": "hyvarinen_score",
}
SUITE = {
    "name": "small",
    "version": 1,
    "tuning": {
        "trials": 3,
        "steps": 5,
        "learning_rates": [0.001, 0.01, 0.1],
        "datasets": {"two_moons": ["pinwheel"], "ring": []},
    },
    "datasets": {name: TOY for name in ("two_moons", "pinwheel", "banana", "ring")},
    "methods": {
        "dsm": {"objective": "denoising_score_matching"},
        "dsm-0.1": {"objective": "denoising_score_matching", "settings": {"sigma": 0.1}},
        "nce": {"objective": "noise_contrastive", "overrides": {"pinwheel": {"ratio": 3.0}}},
        "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}},
    },
}
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


def changed(content, *path, to):
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return content


def load(folder, content=SUITE, tuned=TUNED):
    (folder / "values").mkdir(exist_ok=True)
    (folder / "values" / "a.yaml").write_text(yaml.safe_dump(tuned))
    (folder / "suite.yaml").write_text(yaml.safe_dump({**content, "tuned": "values/a.yaml"}))
    return suite.load(folder / "suite.yaml")


@pytest.mark.parametrize("name", registry.names("objectives"))
def test_what_objectives_search_are_valid_settings_with_the_default_among_them(name):
    entry = registry.describe("objectives", name)
    for setting, values in entry.search.items():
        assert len(set(values)) == len(values) > 1
        for value in values:
            assert entry.validate({setting: value})[setting] == value
        assert entry.settings[setting][1] in values


def test_every_value_is_dealt_as_often_as_any_other():
    space = {"rate": [1, 2, 3, 4, 5, 6], "sigma": ["a", "b", "c"], "sign": [True, False]}
    combinations = latin_hypercube(space, 6, "seed")
    for name, values in space.items():
        assert Counter(one[name] for one in combinations) == dict.fromkeys(values, 6 / len(values))
    counts = Counter(one["sigma"] for one in latin_hypercube(space, 5, "seed")).values()
    assert sorted(counts) == [1, 2, 2]


def test_the_deal_depends_on_its_seed_and_on_nothing_else():
    space = {"rate": [1, 2, 3, 4, 5, 6], "sigma": ["a", "b", "c"]}
    assert latin_hypercube(space, 4, "seed") == latin_hypercube(space, 4, "seed")
    assert len({json.dumps(latin_hypercube(space, 4, f"seed {i}")) for i in range(20)}) > 10
    alone = latin_hypercube({"rate": space["rate"]}, 4, "seed")
    assert [one["rate"] for one in alone] == [
        one["rate"] for one in latin_hypercube(space, 4, "seed")
    ]


def test_every_method_has_the_same_number_of_trials_and_learning_rates():
    checked = suite.check(SUITE, "x")
    tried = {name: checked.search_of("two_moons", name) for name in ("dsm", "dsm-0.1", "nce")}
    assert {len(values) for values in tried.values()} == {3}
    rates = {tuple(one.learning_rate for one in values) for values in tried.values()}
    assert len(rates) == 1
    assert sorted(*rates) == [0.001, 0.01, 0.1]


def test_what_the_suite_gives_itself_is_not_searched():
    checked = suite.check(SUITE, "x")
    assert all(one.settings.keys() == {"sigma"} for one in checked.search_of("two_moons", "dsm"))
    assert all(one.settings == {} for one in checked.search_of("two_moons", "dsm-0.1"))
    assert all(one.settings == {} for one in checked.search_of("pinwheel", "nce"))


def test_what_trains_nothing_is_not_tuned():
    checked = suite.check(SUITE, "x")
    assert checked.search_of("two_moons", "gaussian") == []
    jobs = checked.tuning_jobs()
    assert list(jobs) == ["two_moons", "ring"]
    assert all(methods == ["dsm", "dsm-0.1", "nce"] for methods in jobs.values())


def test_the_criterion_is_a_likelihood_where_there_is_a_density_and_a_score_elsewhere():
    checked = suite.check(SUITE, "x")
    assert checked.criterion_of("two_moons").name == "negative_log_likelihood"
    assert checked.criterion_of("ring").name == "sampled_kl_divergence"
    quick = suite.load(Path(__file__).parents[2] / "benchmarks" / "quick.yaml")
    other = quick.criterion_of("mnist")
    assert (other.name, other.settings) == ("hyvarinen_score", {"points": 200})


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
    untuned = {key: value for key, value in SUITE.items() if key != "tuning"}
    assert slices(suite.check(SUITE, "x")) == slices(suite.check(untuned, "x"))


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
        (changed(TUNED, "datasets", "two_moons", "serves", to=["two_moons"]), "stands there twice"),
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
    path.write_text(yaml.safe_dump({**SUITE, "tuned": "no.yaml"}))
    with pytest.raises(InputError, match=r"no\.yaml: cannot be read") as caught:
        suite.load(path)
    assert "ebm-bench tune" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed(SUITE, "tuning", "trials", to=4), "4 trials need as many different learning"),
        (changed(SUITE, "tuning", "datasets", "banan", to=[]), "Did you mean 'banana'?"),
        (changed(SUITE, "tuning", "datasets", "banana", to=["ring"]), "ring stands there twice"),
        (changed(SUITE, "tuning", "step", to=3), "Did you mean 'steps'?"),
        (changed(SUITE, "tuned", to="tuned.yaml"), "tuned"),
    ],
)
def test_bad_searches_are_told_in_one_message(content, said):
    with pytest.raises(InputError) as caught:
        suite.check(content, "bad.yaml")
    assert str(caught.value).startswith("bad.yaml: ")
    assert said in str(caught.value)


def test_the_toy_suite_has_everything_and_serves_all_of_it():
    toy = suite.load(Path(__file__).parents[2] / "benchmarks" / "toy.yaml")
    toys = {
        n
        for n, e in registry.entries("datasets").items()
        if "pixels" not in e.knows and not e.files
    }
    assert toy.datasets.keys() == toys
    objectives = {method.objective for method in toy.methods.values()}
    # The control of the plane came after the committed reference.
    assert objectives | {"grid_maximum_likelihood"} == set(registry.names("objectives"))
    noises = {method.settings.get("noise") for method in toy.methods.values()}
    assert noises - {None} == set(registry.names("noise"))
    served = {n for first, others in toy.tuning.datasets.items() for n in (first, *others)}
    assert served == toys
    for first in toy.tuning.datasets:
        tuned = toy.tuned.datasets[first].methods
        assert tuned.keys() == {m for m in toy.methods if toy.search_of(first, m)}
        assert {outcome.trials for outcome in tuned.values()} == {toy.tuning.trials}
