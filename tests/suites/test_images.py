"""The suites of images: what they compare, and what they state for a GPU."""

from pathlib import Path

import pytest

from ebm_bench.suites import suite

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
