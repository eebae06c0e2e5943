"""Suites of parameter estimation: what they run, and what is wrong with bad ones."""

import json
from functools import partial
from pathlib import Path

import pytest
import yaml
from factories import suites
from factories.estimation import LINE, describe

from ebm_bench.errors import InputError
from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.studies.estimation.suite import EstimationSuite

DEFAULT = Path(__file__).parents[3] / "benchmarks" / "estimation.yaml"
GOOD = describe(
    {
        "sm": {
            "objective": "exact_score_matching",
            "overrides": {
                "sources": {
                    "energy": {"name": "ica", "settings": {"source": "logistic"}},
                    "biased": True,
                }
            },
        },
        "nce": {"objective": "noise_contrastive", "varies": "ratio"},
    },
    4,
    sizes=[50, 200],
    size=50,
    models={
        "line": LINE,
        "sources": {
            "dataset": {"name": "laplace_ica"},
            "energy": {"name": "ica", "settings": {"source": "hyperbolic"}},
            "sizes": [100],
        },
    },
)
changed = partial(suites.changed, GOOD)


def load(content, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return estimation_suite.load(path)


def test_the_default_suite_is_valid_and_has_what_was_announced():
    suite = estimation_suite.load(DEFAULT)
    assert suite.data_sets == 100
    assert suite.sizes == [100, 500, 1000, 5000, 10000, 20000]
    assert suite.ratios == [1, 2, 5, 10, 50, 100]
    assert {"gaussian-1", "gaussian-20", "laplace_ica-4", "ring-5"} <= suite.models.keys()
    assert [m for m, spec in suite.methods.items() if spec.reference] == ["mle"]


def test_grid(tmp_path):
    suite = load(GOOD, tmp_path)
    assert suite.grid("line", "mle") == [(50, 2), (200, 2)]
    assert suite.grid("line", "nce") == [(50, 1), (50, 2), (50, 3), (200, 2)]
    assert suite.grid("sources", "mle") == [(50, 2), (100, 2)]


def test_the_longest_jobs_are_known():
    suite = estimation_suite.load(DEFAULT)
    work = {(model, "nce"): suite.work(model, "nce") for model in suite.models}
    assert max(work, key=work.get) == ("gaussian-20", "nce")
    assert suite.work("ring-5", "nce") > suite.work("ring-5", "mle")


def test_a_method_may_have_a_ratio_of_its_own(tmp_path):
    suite = load(changed("methods", "nce", "ratio", to=7), tmp_path)
    assert (200, 7) in suite.grid("line", "nce")
    assert (200, 2) in suite.grid("line", "mle")


def test_overrides(tmp_path):
    suite = load(changed("methods", "nce", "overrides",
                         to={"line": {"settings": {"noise": "uniform"}}}), tmp_path)  # fmt: skip
    assert suite.energy_of("sources", "sm").settings == {"source": "logistic"}
    assert suite.biased("sources", "sm")
    assert not suite.biased("line", "sm")
    assert suite.settings_of("line", "nce") == {"noise": "uniform"}
    assert suite.settings_of("sources", "nce") == {}
    assert any("uniform" in p.name for p in suite.files("line", "nce"))


def test_slice_is_what_a_job_depends_on(tmp_path):
    before = load(GOOD, tmp_path)
    other = load(changed("models", "sources", "sizes", to=[70]), tmp_path)
    assert json.loads(*before.slices("line", "mle"))
    assert before.slices("line", "mle") == other.slices("line", "mle")
    assert before.slices("sources", "mle") != other.slices("sources", "mle")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("data_set", to=3), "Did you mean 'data_sets'?"),
        (changed("sizes", to=[]), "sizes"),
        (changed("sizes", to=[100, "many"]), "sizes.1"),
        (changed("models", "line", "dataset", to={"name": "gausian"}), "Did you mean 'gaussian'?"),
        (changed("models", "line", "dataset", to={"name": "two_moons"}),
         "two_moons has no true parameters. Valid: gaussian, laplace_ica, ring"),
        (changed("models", "line", "energies", to={}), "Did you mean 'energy'?"),
        (changed("methods", "nce", "varies", to="rato"), "Did you mean 'ratio'?"),
        (changed("methods", "nce", "settings", to={"noise": 3}), "noise_contrastive.noise = 3"),
        (changed("methods", "sm", "overrides", to={"lines": {}}), "Did you mean 'line'?"),
        (changed("methods", "sm", "overrides", to={}) | {"models": {"sources": {
            "dataset": {"name": "laplace_ica"}, "energy": {"name": "ica"}}}},
         "ica with source 'laplace' is not: override the energy of sources"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(content, said, tmp_path):
    with pytest.raises(InputError, match=r"suite\.yaml|models|methods") as error:
        load(content, tmp_path)
    assert said in str(error.value)


def test_default_suites_content_validates_without_a_file():
    assert EstimationSuite.model_validate(GOOD).ratio_of("nce") == 2
