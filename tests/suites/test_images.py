"""The suites of images: what they compare, and what they state for a GPU."""

from pathlib import Path

import pytest

from ebm_bench.errors import InputError
from ebm_bench.suites import suite
from ebm_bench.utils import yaml_files

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NOISE = ("uniform", "gaussian", "gaussian_mixture", "flow")


def loaded(name):
    return suite.load(BENCHMARKS / f"{name}.yaml")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_they_compare_every_objective_on_known_and_on_real_images(name):
    found = loaded(name)
    assert list(found.datasets) == [f"{name}_mixture", name]
    assert {spec.replicates for spec in found.datasets.values()} == {5}
    methods = [spec for spec in found.methods.values() if not spec.control]
    assert all(spec.datasets is None for spec in methods)
    stated = [(spec.objective, spec.settings) for spec in methods]
    objectives = [objective for objective, _ in stated]
    assert {"exact_score_matching", "flow_contrastive"} <= set(objectives)
    assert objectives.count("denoising_score_matching") == 3
    assert [s["noise"] for o, s in stated if o == "noise_contrastive"] == list(NOISE)
    sliced = [s["variance_reduced"] for o, s in stated if o == "sliced_score_matching"]
    assert sorted(sliced) == [False, True]
    chains = [s.get("persistent", False) for o, s in stated if o == "contrastive_divergence"]
    assert sorted(chains) == [False, True]
    controls = {spec.energy.name if spec.energy else "conv" for spec in found.methods.values()
                if spec.control}  # fmt: skip
    assert controls == {"truth", "pca_mixture", "quadratic", "flow", "conv"}


def test_both_suites_compare_the_same_methods():
    """Only what a step may cost on images of more dimensions differs, and where the truth is."""
    digits, photographs = loaded("mnist"), loaded("cifar10")
    assert list(digits.methods) == list(photographs.methods)
    costly = {"settings": {"points", "noise_settings"}, "datasets": True}
    for name, spec in digits.methods.items():
        other = photographs.methods[name]
        assert spec.model_dump(exclude=costly) == other.model_dump(exclude=costly)
    for one, other in zip(digits.datasets.values(), photographs.datasets.values(), strict=True):
        assert list(one.metrics) == list(other.metrics)
        assert (one.rank_by, one.curve) == (other.rank_by, other.curve)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_suite_for_a_gpu_differs_in_its_budget_alone(name):
    small, large = loaded(name), loaded(f"{name}-gpu")
    assert large.methods == small.methods
    for dataset, spec in small.datasets.items():
        own = large.datasets[dataset]
        assert own.budget.steps == 10 * spec.budget.steps
        assert own.energy.name == spec.energy.name
        assert own.energy.settings["channels"] > spec.energy.settings["channels"]
        same = {"energy", "budget", "compute"}
        assert own.model_dump(exclude=same) == spec.model_dump(exclude=same)
        assert own.budget.learning_rate == spec.budget.learning_rate


def refused(dataset, changes, methods=()):
    """What is said of the suite where a dataset of it, or what runs there, is another."""
    content = yaml_files.read(BENCHMARKS / "cifar10.yaml")
    del content["tuned"]
    content["datasets"][dataset].update(changes)
    for name in methods:
        content["methods"][name]["datasets"] = [dataset]
    with pytest.raises(InputError) as error:
        suite.check(content, "cifar10.yaml")
    return str(error.value)


@pytest.mark.parametrize("rank", [0, 129, 3072])
def test_the_known_images_have_a_rank_below_the_number_of_pixels(rank):
    """192 of the smallest ones."""
    said = refused("cifar10_mixture", {"settings": {"rank": rank, "side": 8}})
    bound = "greater than or equal to 1" if rank < 1 else "less than or equal to 128"
    assert (
        f"datasets.cifar10_mixture: cifar10_mixture.rank = {rank}: Input should be {bound}" in said
    )


def test_what_needs_the_classes_is_refused_on_images_without():
    metrics = {"hyvarinen_score": {}, "sampled_mode_mass_error": {}}
    said = refused("cifar10", {"metrics": metrics})
    assert "sampled_mode_mass_error needs modes, which cifar10 does not offer. Valid: " in said
    assert "bits_per_dim" in said


def test_what_needs_the_truth_is_refused_on_images_without():
    said = refused("cifar10", {}, methods=["truth"])
    assert "methods.truth: energy truth needs log_prob, and cifar10 has none" in said
    metrics = {"fisher_divergence": {}}
    said = refused("cifar10", {"metrics": metrics, "rank_by": "fisher_divergence"})
    assert "fisher_divergence needs score, which cifar10 does not offer" in said
