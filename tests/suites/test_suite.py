import copy
import json
from functools import partial

import pytest
from factories import suites

from ebm_bench.errors import InputError
from ebm_bench.suites import suite

GOOD = {
    "name": "small",
    "version": 1,
    "seed": 3,
    "datasets": {
        "two_moons": {
            "energy": {"name": "mlp", "settings": {"width": 32}},
            "replicates": 2,
            "budget": {"steps": 10, "batch_size": 16},
            "sampler": {"name": "langevin", "settings": {"steps": 10}},
            "metrics": {"kl_divergence": {}, "hyvarinen_score": {}},
            "rank_by": "kl_divergence",
            "curve": "hyvarinen_score",
        },
        "mnist": {
            "energy": {"name": "conv"},
            "budget": {"steps": 10},
            "sampler": {"name": "langevin"},
            "metrics": {"hyvarinen_score": {}},
            "rank_by": "hyvarinen_score",
            "curve": "hyvarinen_score",
        },
    },
    "methods": {
        "dsm-0.1": {"objective": "denoising_score_matching", "settings": {"sigma": 0.1}},
        "dsm-0.2": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        "nce": {"objective": "noise_contrastive", "settings": {"noise": "gaussian"}},
        "exact-sm": {"objective": "exact_score_matching", "datasets": ["two_moons"]},
    },
}


changed = partial(suites.changed, GOOD)


def renamed(*path, to):
    content = copy.deepcopy(GOOD)
    node = content
    for key in path[:-1]:
        node = node[key]
    node[to] = node.pop(path[-1])
    return content


def test_the_good_suite_is_good():
    checked = suite.check(GOOD, "good.yaml")
    assert checked.jobs() == {
        "two_moons": ["dsm-0.1", "dsm-0.2", "nce", "exact-sm"],
        "mnist": ["dsm-0.1", "dsm-0.2", "nce"],
    }
    assert checked.datasets_of("exact-sm") == ["two_moons"]


MOONS = ("datasets", "two_moons")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # A typo in a key, at every level.
        (renamed("methods", to="method"), "Did you mean 'methods'?"),
        (renamed(*MOONS, "rank_by", to="rankby"), "Did you mean 'rank_by'?"),
        (renamed(*MOONS, "budget", "steps", to="stps"), "Did you mean 'steps'?"),
        (renamed(*MOONS, "energy", "settings", to="setting"), "Did you mean 'settings'?"),
        (renamed(*MOONS, "sampler", "settings", to="setings"), "Did you mean 'settings'?"),
        (renamed("methods", "nce", "settings", to="setings"), "Did you mean 'settings'?"),
        # A typo in a name, in every family.
        (renamed(*MOONS, to="two_mons"), "Did you mean 'two_moons'?"),
        (changed(*MOONS, "energy", "name", to="mpl"), "Did you mean 'mlp'?"),
        (changed(*MOONS, "sampler", "name", to="langvin"), "Did you mean 'langevin'?"),
        (renamed(*MOONS, "metrics", "kl_divergence", to="kl_divergense"), "'kl_divergence'?"),
        (changed(*MOONS, "rank_by", to="kl_divergense"), "'kl_divergence'?"),
        (changed(*MOONS, "curve", to="hyvarinen_skore"), "'hyvarinen_score'?"),
        (changed("methods", "nce", "objective", to="noise_contrastiv"), "'noise_contrastive'?"),
        (changed("methods", "nce", "settings", "noise", to="gausian"), "'gaussian'?"),
        (changed("methods", "nce", "energy", to={"name": "quadratc"}), "'quadratic'?"),
        (changed("methods", "exact-sm", "datasets", to=["two_moon"]), "'two_moons'?"),
        # A typo in a setting.
        (changed("methods", "nce", "settings", "ratoi", to=1), "Did you mean 'ratio'?"),
        (changed(*MOONS, "energy", "settings", "widht", to=1), "Did you mean 'width'?"),
        (changed(*MOONS, "settings", to={"nose": 1}), "two_moons"),
        (changed(*MOONS, "metrics", "kl_divergence", to={"x": 1}), "setting of kl_divergence"),
        # A value of the wrong kind or out of range.
        (changed("methods", "nce", "settings", "ratio", to=0), "ratio = 0"),
        (changed("methods", "nce", "settings", "ratio", to=-1.0), "ratio = -1"),
        (changed("methods", "dsm-0.1", "settings", "sigma", to=0), "sigma = 0"),
        (changed("methods", "dsm-0.1", "settings", "sigma", to=-0.1), "sigma = -0.1"),
        (changed("methods", "dsm-0.1", "settings", "sigma", to="big"), "sigma = 'big'"),
        (changed(*MOONS, "energy", "settings", "activation", to="sulu"), "activation = 'sulu'"),
        (changed(*MOONS, "energy", "settings", "width", to=0), "width = 0"),
        (changed(*MOONS, "replicates", to=0), "replicates"),
        (changed(*MOONS, "budget", "batch_size", to=1), "budget.batch_size"),
        (changed(*MOONS, "budget", "learning_rate", to=0), "budget.learning_rate"),
        (changed(*MOONS, "budget", "steps", to="many"), "budget.steps"),
        (changed("version", to=0), "version"),
        (changed("name", to="../up"), "name"),
        (changed("plugins", to=["a/mine.py", "b/Mine.py"]), "plugins have the same file name"),
        (changed("seed", to=-1), "seed"),
        (changed("datasets", to={}), "datasets"),
        (changed("methods", to={}), "methods"),
        (changed("methods", to=None), "methods"),
        # What does not go together.
        (changed("methods", "nce", "settings", "noise", to="langevin"), "unknown noise"),
        (
            changed("datasets", "mnist", "metrics", to={"kl_divergence": {}}),
            "which mnist does not offer",
        ),
        (
            changed(*MOONS, "energy", "settings", "activation", to="relu"),
            "needs a twice differentiable energy",
        ),
        (
            changed("methods", "exact-sm", "energy", to={"name": "ica"}),
            "ica with source 'laplace' is not. Valid: hyperbolic, logistic",
        ),
        (
            changed("methods", "exact-sm", "objective", to="maximum_likelihood"),
            "needs an energy whose normaliser is known",
        ),
        (
            changed("methods", "exact-sm", to={"objective": "grid_maximum_likelihood"}),
            "needs a density in the plane; restrict it by 'datasets: [...]'. Valid: banana",
        ),
        (changed(*MOONS, "energy", to={"name": "conv"}), "energy conv needs image"),
        (changed("methods", "nce", "energy", to={"name": "truth"}), "energy truth needs log_prob"),
        (changed(*MOONS, "curve", to="log_z_error"), "log_z_error needs learned_log_z"),
        (changed("datasets", "mnist", "curve", to="log_z"), "log_z needs"),
        (changed("methods", "nce", "settings", "noise_settings", to=5), "noise_settings = 5"),
        (changed("methods", "nce", "settings", "noise", to=""), "unknown noise ''"),
        (changed("methods", "nce", "settings", "ratio", to=float("inf")), "ratio = inf"),
        (changed(*MOONS, "budget", "seconds", to=float("inf")), "budget.seconds"),
        (renamed("methods", "nce", to="../nce {x}"), "beginning with a letter or digit"),
        (changed("methods", "nce", "overrides", to={"mnst": {}}), "Did you mean 'mnist'?"),
        (
            changed("methods", "nce", "overrides", to={"mnist": {"ratio": 0}}),
            "methods.nce.overrides.mnist",
        ),
    ],
)
def test_bad_input_names_the_place_and_what_is_valid(content, said):
    with pytest.raises(InputError) as caught:
        suite.check(content, "bad.yaml")
    message = str(caught.value)
    assert message.startswith("bad.yaml: ")
    assert said in message
    assert "pydantic" not in message


def test_piecewise_linear_energies_may_be_trained_without_second_derivatives():
    content = changed(*MOONS, "energy", "settings", "activation", to="relu")
    for method in ("dsm-0.1", "dsm-0.2", "exact-sm"):
        del content["methods"][method]
    suite.check(content, "good.yaml")


@pytest.mark.parametrize("key", ["rank_by", "curve"])
def test_nothing_is_ranked_by_what_has_no_direction(key):
    content = changed(*MOONS, "metrics", "log_z", to={})
    content["datasets"]["two_moons"][key] = "log_z"
    with pytest.raises(InputError, match=r"no better direction.* Valid: kl_divergence, hyvarinen"):
        suite.check(content, "bad.yaml")


def test_every_problem_is_named_at_once():
    content = changed("version", to=0)
    content["methods"]["nce"]["setings"] = {}
    with pytest.raises(InputError) as caught:
        suite.check(content, "bad.yaml")
    assert str(caught.value).count("bad.yaml: ") == 2


def slices(content):
    checked = suite.check(content, "x")
    runs = [(d, m) for d in checked.datasets for m in checked.methods_of(d)]
    training = {run: checked.training_slice(*run) for run in runs}
    return training, {d: checked.evaluation_slice(d) for d in checked.datasets}


@pytest.mark.parametrize(
    ("content", "retrained", "measured_again"),
    [
        (
            changed("methods", "dsm-0.1", "settings", "sigma", to=0.3),
            {("two_moons", "dsm-0.1"), ("mnist", "dsm-0.1")},
            set(),
        ),
        (changed(*MOONS, "metrics", "log_z", to={}), set(), {"two_moons"}),
        (changed(*MOONS, "rank_by", to="hyvarinen_score"), set(), set()),
        (changed("title", to="Another"), set(), set()),
        (changed("methods", "nce", "control", to=True), set(), set()),
        (
            changed("datasets", "mnist", "budget", "steps", to=11),
            {("mnist", m) for m in ("dsm-0.1", "dsm-0.2", "nce")},
            set(),
        ),
        (
            # Its curve does not sum over a grid, and may draw samples.
            changed(*MOONS, "sampler", "settings", "steps", to=11),
            {("two_moons", m) for m in GOOD["methods"]},
            {"two_moons"},
        ),
    ],
)
def test_a_change_reaches_only_what_depends_on_it(content, retrained, measured_again):
    before, after = slices(GOOD), slices(content)
    assert {run for run in before[0] if before[0][run] != after[0][run]} == retrained
    assert {d for d in before[1] if before[1][d] != after[1][d]} == measured_again


def test_a_seed_or_version_changes_every_training():
    for key in ("seed", "version"):
        before, after = slices(GOOD)[0], slices(changed(key, to=7))[0]
        assert all(before[run] != after[run] for run in before)


def test_slices_do_not_depend_on_the_order_of_keys():
    content = copy.deepcopy(GOOD)
    for node in (content, content["datasets"]["two_moons"], content["methods"]["nce"]):
        items = list(node.items())
        node.clear()
        node.update(reversed(items))
    assert slices(content)[0] == slices(GOOD)[0]
    json.loads(slices(GOOD)[0]["two_moons", "nce"])


def test_parts_are_the_classes_that_define_a_run():
    checked = suite.check(GOOD, "x")
    parts = {
        method: {
            (family, part.name) for family, part in checked.training_parts("two_moons", method)
        }
        for method in ("nce", "dsm-0.1")
    }
    assert parts["nce"] > {("energies", "mlp"), ("objectives", "noise_contrastive")}
    assert ("noise", "gaussian") in parts["nce"]
    assert ("noise", "gaussian") not in parts["dsm-0.1"]
