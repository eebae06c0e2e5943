"""The results that are committed for images, and controls of them made anew."""

from pathlib import Path

import numpy as np
import pytest

from ebm_bench import metrics, registry
from ebm_bench.datasets import cached
from ebm_bench.records import collection
from ebm_bench.runs import training
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference" / "mnist"
PREPARED = cached.folder()


@pytest.fixture(scope="module")
def mnist():
    return suite.load(ROOT / "benchmarks" / "mnist.yaml")


@pytest.fixture(scope="module")
def reference():
    return collection.load(REFERENCE / "records")


def test_the_whole_suite_is_there(mnist, reference):
    there = set(zip(reference.runs["dataset"], reference.runs["method"], strict=True))
    assert there == {(d, m) for d in mnist.datasets for m in mnist.methods_of(d)}


def test_it_was_made_by_the_suite_as_it_is(mnist, reference):
    for (_, dataset, method), run in reference.records().items():
        assert run.suite_version == mnist.version
        assert run.seed == mnist.seed
        assert run.settings == mnist.settings_of(dataset, method) | run.settings
        assert run.budget == mnist.budget_of(dataset, method).model_dump()
        assert not run.provenance.dirty


def test_its_metrics_are_those_of_the_suite_in_their_versions(mnist, reference):
    names = reference.values["metric"].str.partition(".")[0]
    found = set(zip(names, reference.values["metric_version"], strict=True))
    chosen = {name for spec in mnist.datasets.values() for name in spec.metrics}
    assert found == {(name, registry.describe("metrics", name).version) for name in chosen}


# Training an image model takes too long for a test, and rounding grows in it.
@pytest.mark.parametrize("method", ["untrained", "gaussian"])
def test_a_control_from_scratch_has_the_committed_divergence(mnist, reference, method, monkeypatch):
    if not (PREPARED / "mnist.json").exists():
        pytest.skip("mnist is not prepared: ebm-bench prepare --dataset mnist")
    monkeypatch.setenv("EBM_BENCH_DATA", str(PREPARED))
    parts, _ = training.train_method(mnist, "mnist_mixture", method, "cpu")
    (model,) = parts.models("evaluation").values()
    settings = mnist.datasets["mnist_mixture"].metrics["fisher_divergence"]
    metric = metrics.create("fisher_divergence", **settings)
    found = metric(model, parts.dataset, parts.streams.child("evaluation"))["value"]
    committed = reference.values.query(
        "dataset == 'mnist_mixture' and method == @method and metric == 'fisher_divergence'"
    )
    expected = committed.sort_values("replicate")["value"].to_numpy(float)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)
