"""The numbers that are committed for the suite of toys, and a part of them made anew."""

from pathlib import Path

import numpy as np
import pytest

from ebm_bench import registry
from ebm_bench.records import collection
from ebm_bench.runs import evaluation, training
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference" / "toy"
KEY = ["replicate", "model", "metric"]
REPEATED = 3  # replicates, whose numbers do not depend on the others


@pytest.fixture(scope="module")
def toy():
    return suite.load(ROOT / "benchmarks" / "toy.yaml")


@pytest.fixture(scope="module")
def reference():
    return collection.load(REFERENCE / "records")


def test_the_whole_suite_is_there(toy, reference):
    there = set(zip(reference.runs["dataset"], reference.runs["method"], strict=True))
    assert there == {(d, m) for d in toy.datasets for m in toy.methods_of(d)}


def test_it_was_made_by_the_suite_as_it_is(toy, reference):
    for (_, dataset, method), run in reference.records().items():
        assert run.suite_version == toy.version
        assert run.seed == toy.seed
        assert run.settings == toy.settings_of(dataset, method) | run.settings
        assert run.budget == toy.budget_of(dataset, method).model_dump()
        assert not run.provenance.dirty


def test_its_metrics_are_those_of_the_suite_in_their_versions(toy, reference):
    names = reference.values["metric"].str.partition(".")[0]
    found = set(zip(names, reference.values["metric_version"], strict=True))
    metrics = {name for spec in toy.datasets.values() for name in spec.metrics}
    assert found == {(name, registry.describe("metrics", name).version) for name in metrics}


# Rounding differs between processors, and between compiled and eager steps, and grows while a
# network is trained.
@pytest.mark.parametrize(
    ("dataset", "method"), [("two_moons", "nce-gaussian"), ("gaussian", "ssm")]
)
def test_replicates_from_scratch_have_the_committed_numbers(
    toy, reference, tmp_path, dataset, method
):
    few = toy.datasets[dataset].model_copy(update={"replicates": REPEATED})
    toy = toy.model_copy(update={"datasets": {dataset: few}})
    training.train(toy, dataset, [method], tmp_path, "cpu")
    folder = tmp_path / dataset / method
    evaluation.evaluate(toy, dataset, method, folder, "cpu")
    found = collection.collect([folder]).values.set_index(KEY)
    committed = reference.values.query("dataset == @dataset and method == @method").set_index(KEY)
    assert set(committed.index[committed.index.get_level_values(0) < REPEATED]) == set(found.index)
    committed = committed.reindex(found.index)
    assert np.isfinite(found["value"]).all()
    assert (found["metric_version"] == committed["metric_version"]).all()
    found, committed = found["value"], committed["value"]
    # Near zero; what a rounding changes in them is of the size of their errors.
    small = found.index.get_level_values("metric").str.endswith((".gap", ".missing"))
    tolerance = 2e-2 * committed.abs() + np.where(small, 5e-3, 1e-4)
    assert (np.abs(found - committed) <= tolerance).all(), found
