"""The search for learning rates and settings."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from factories.suites import SEARCHED, changed

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.suites import suite
from ebm_bench.suites.base import Named
from ebm_bench.suites.tuning import Chosen, Tuning, combinations


@pytest.mark.parametrize("name", registry.names("objectives"))
def test_what_objectives_search_are_valid_settings_with_the_default_among_them(name):
    entry = registry.describe("objectives", name)
    for setting, values in entry.search.items():
        assert len(set(values)) == len(values) > 1
        for value in values:
            assert entry.validate({setting: value})[setting] == value
        assert entry.settings[setting][1] in values


def test_every_value_is_drawn_about_as_often_as_any_other():
    space = {"rate": [1, 2, 3, 4, 5, 6], "sigma": ["a", "b", "c"], "sign": [True, False]}
    drawn = combinations(space, 6, "seed")
    for name, values in space.items():
        assert Counter(one[name] for one in drawn) == dict.fromkeys(values, 6 / len(values))
    counts = Counter(one["sigma"] for one in combinations(space, 5, "seed")).values()
    assert sorted(counts) == [1, 2, 2]


@pytest.mark.parametrize(
    ("energy", "batch_size", "found"),
    [
        ({"name": "mlp"}, 8, []),
        ({"name": "mlp", "settings": {"width": "128"}}, 8, []),  # the default
        ({"name": "mlp", "settings": {"width": 7}}, 8, ["energy"]),
        ({"name": "of_a_plugin"}, 9, ["energy", "batch size"]),
        (None, None, []),
    ],
)
def test_what_trials_were_made_with_is_compared_as_it_is_meant(energy, batch_size, found):
    chosen = Chosen(trials=1, failed=0, energy=energy, batch_size=batch_size)
    assert chosen.differences(Named(name="mlp"), 8) == found


@pytest.mark.parametrize("most", range(2, 13))
def test_no_combination_is_drawn_twice_and_none_is_left_out_for_want_of_room(most):
    space = {"a": (1, 2, 3), "b": ("x", "y"), "c": ([1], [2])}
    drawn = combinations(space, most, "seed")
    assert len({json.dumps(one) for one in drawn}) == len(drawn) == most
    for name, values in space.items():
        frequent = Counter(json.dumps(one[name]) for one in drawn)
        assert len(frequent) == min(len(values), most)


def test_the_draw_depends_on_its_seed_and_on_nothing_else():
    space = {"rate": [1, 2, 3, 4, 5, 6], "sigma": ["a", "b", "c"]}
    assert combinations(space, 4, "seed") == combinations(space, 4, "seed")
    assert len({json.dumps(combinations(space, 4, f"seed {i}")) for i in range(20)}) > 10


def test_few_combinations_are_all_tried_and_without_room_the_defaults_are():
    space = {"a": (1, 2, 3), "b": ("x", "y")}
    assert len(combinations(space, 6, "seed")) == len(combinations(space, 60, "seed")) == 6
    assert combinations(space, 1, "seed") == combinations(space, 0, "seed") == [{}]
    assert combinations({}, 0, "seed") == combinations({}, 5, "seed") == [{}]


RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


def searched(method, score_of, dataset="two_moons", **tuning):
    """Trials of a method, of which each has a score: [(learning rate, settings, score)]."""
    content = {"trials": 12, "learning_rates": RATES, "datasets": "all", **tuning}
    search = suite.check({**SEARCHED, "tuning": content}, "x").search_of(dataset, method)
    found = []
    while values := search.next_round():
        assert len({json.dumps(one.settings) for one in values}) == 1
        assert len(values) <= 3
        scores = [score_of(one.learning_rate, one.settings) for one in values]
        found += [
            (one.learning_rate, one.settings, of) for one, of in zip(values, scores, strict=True)
        ]
        search.add(scores)
    return found


def bowl(best):
    """A score that is least at a learning rate."""
    return lambda rate, _: abs(math.log(rate / best))


def edge(found):
    """Whether the best rate is the lowest or highest that was tried with its settings."""
    best, settings, _ = min(found, key=lambda one: one[2])
    rates = [rate for rate, others, _ in found if others == settings]
    return best in (min(rates), max(rates))


METHODS = ["dsm", "dsm-0.1", "nce", "ssm", "cnce"]


@pytest.mark.parametrize("trials", [2, 3, 4, 8, 12, 15])
def test_every_method_has_the_same_number_of_different_trials(trials):
    for method in METHODS:
        found = searched(method, bowl(0.004), trials=trials)
        assert len({json.dumps(one[:2]) for one in found}) == len(found) == trials


@pytest.mark.parametrize("method", METHODS)
def test_every_value_of_a_setting_meets_three_rates(method):
    found = searched(method, bowl(0.004))
    checked = suite.check(SEARCHED, "x")
    objective = registry.describe("objectives", checked.methods[method].objective)
    stated = checked.stated_settings("two_moons", method)
    for name, values in objective.search.items():
        for value in values if name not in stated else ():
            assert len({rate for rate, settings, _ in found if settings[name] == value}) >= 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("best", [1e-4, 3e-4, 1e-3, 7e-3, 0.05, 0.1, 0.5, 2.0])
def test_the_search_goes_on_beyond_the_rates_where_the_best_is_there(method, best):
    found = searched(method, bowl(best))
    assert not edge(found)
    # Rates are about twice as large as the ones before.
    assert min(of for _, _, of in found) < math.log(2.2)


def test_a_best_that_stays_at_an_end_ends_the_search_with_its_trials():
    assert len(searched("dsm", lambda rate, _: rate)) == 12
    assert edge(searched("dsm", lambda rate, _: rate))


def test_rates_that_fail_are_left_for_lower_ones():
    def score(rate, _):
        return None if rate > 4e-4 else rate

    found = searched("dsm-0.1", score)
    assert any(of is not None for _, _, of in found)
    # With settings too, which begin where the last ones failed.
    assert any(of is not None for _, _, of in searched("dsm", score))


def test_settings_that_fail_everywhere_do_not_end_the_search():
    found = searched("dsm", lambda rate, settings: None if settings["sigma"] < 0.2 else rate)
    assert min(found, key=lambda one: math.inf if one[2] is None else one[2])[1] == {"sigma": 0.2}
    assert len(found) == 12


def test_the_last_trials_go_to_the_best_settings():
    def score(rate, settings):
        return abs(math.log(rate / 0.004)) + (settings["sigma"] != 0.2)

    assert all(settings == {"sigma": 0.2} for _, settings, _ in searched("dsm", score)[9:])


def test_a_search_without_any_score_ends_with_its_trials():
    for method in METHODS:
        assert len(searched(method, lambda *_: None)) == 12


def test_rates_beyond_a_list_go_on_as_it_does():
    rates = Tuning(trials=3, learning_rates=(0.01, 0.001, 0.1))
    assert [rates.rate(place) for place in range(-2, 5)] == [1e-5, 1e-4, 0.001, 0.01, 0.1, 1, 10]
    uneven = Tuning(trials=3, learning_rates=(0.001, 0.002, 0.01))
    assert [uneven.rate(place) for place in (-1, 1, 3)] == [3.16e-4, 0.002, 0.0316]


def test_a_search_without_datasets_is_on_all_of_them():
    without = {key: value for key, value in SEARCHED["tuning"].items() if key != "datasets"}
    every = {name: [] for name in SEARCHED["datasets"]}
    for given in (without, {**without, "datasets": "all"}, {**without, "datasets": [*every]}):
        assert suite.check({**SEARCHED, "tuning": given}, "x").tuned_on == every
    some = {**without, "datasets": ["ring", "banana"]}
    assert suite.check({**SEARCHED, "tuning": some}, "x").tuned_on == {"ring": [], "banana": []}


def test_what_the_suite_gives_itself_is_not_searched():
    checked = suite.check(changed(SEARCHED, "tuning", "trials", to=15), "x")
    assert all(one.keys() == {"sigma"} for one in checked.search_of("two_moons", "dsm").settings)
    assert checked.search_of("two_moons", "dsm-0.1").settings == [{}]
    assert checked.search_of("pinwheel", "nce").settings == [{}]
    assert len(checked.search_of("two_moons", "nce").settings) == 3


def test_what_trains_nothing_is_not_tuned():
    checked = suite.check(SEARCHED, "x")
    assert checked.search_of("two_moons", "gaussian") is None
    jobs = checked.tuning_jobs()
    assert list(jobs) == ["two_moons", "ring"]
    assert all(methods == METHODS for methods in jobs.values())


def test_the_criterion_is_a_divergence_where_there_is_a_density_and_a_score_elsewhere():
    checked = suite.check(SEARCHED, "x")
    assert checked.criterion_of("two_moons").name == "kl_divergence"
    assert checked.criterion_of("ring").name == "sampled_kl_divergence"
    known = checked.datasets["ring"].model_copy(update={"rank_by": "fisher_divergence"})
    ranked = checked.model_copy(update={"datasets": {"ring": known}})
    assert ranked.criterion_of("ring").name == "fisher_divergence"
    quick = suite.load(Path(__file__).parents[2] / "benchmarks" / "quick.yaml")
    other = quick.criterion_of("mnist")
    assert (other.name, other.settings) == ("hyvarinen_score", {"points": 200})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed(SEARCHED, "tuning", "learning_rates", to=[0.1, 0.1]), "two different learning"),
        (changed(SEARCHED, "tuning", "learning_rates", to=[]), "two different learning rates"),
        (changed(SEARCHED, "tuning", "learning_rates", to=[0.1, -1]), "greater than 0"),
        (changed(SEARCHED, "tuning", "datasets", to=["ring", "rang"]), "Did you mean 'ring'?"),
        (changed(SEARCHED, "tuning", "datasets", to=["ring", "ring"]), "is listed twice"),
        (changed(SEARCHED, "tuning", "datasets", to="some"), "tuning.datasets"),
        (changed(SEARCHED, "tuning", "datasets", to=[]), "tuning.datasets"),
        (changed(SEARCHED, "tuning", "datasets", to={}), "tuning.datasets"),
        (changed(SEARCHED, "tuning", "datasets", "banan", to=[]), "Did you mean 'banana'?"),
        (changed(SEARCHED, "tuning", "datasets", "banana", to=["ring"]), "ring is listed twice"),
        (changed(SEARCHED, "tuning", "step", to=3), "Did you mean 'steps'?"),
        (changed(SEARCHED, "tuned", to="tuned.yaml"), "tuned"),
    ],
)
def test_bad_searches_are_told_in_one_message(content, said):
    with pytest.raises(InputError) as caught:
        suite.check(content, "bad.yaml")
    assert str(caught.value).startswith("bad.yaml: ")
    assert said in str(caught.value)


def test_the_toy_suite_has_everything_and_serves_all_of_it():
    toy = suite.load(Path(__file__).parents[2] / "benchmarks" / "toy.yaml")
    toys = {n for n, e in registry.entries("datasets").items() if e.kind != "image" and not e.files}
    assert toy.datasets.keys() == toys
    objectives = {method.objective for method in toy.methods.values()}
    assert objectives == set(registry.names("objectives"))
    noises = {method.settings.get("noise") for method in toy.methods.values()}
    assert noises - {None} == set(registry.names("noise"))
    served = {n for first, others in toy.tuned_on.items() for n in (first, *others)}
    assert served == toys
    for first, tuned in toy.tuned.datasets.items():
        searched = {m for m in toy.methods_of(first) if toy.search_of(first, m)}
        assert tuned.methods.keys() == searched
        assert {outcome.trials for outcome in tuned.methods.values()} == {toy.tuned.trials}
