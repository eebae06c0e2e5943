"""Replicates that are worse than controls that learn nothing, and datasets that rank noise."""

import json
from dataclasses import replace

import numpy as np
import pytest
from factories.report import REPLICATES, collect

from ebm_bench.report import baselines, loading
from ebm_bench.report.page import views
from ebm_bench.report.tables import captions, macros, tables
from ebm_bench.suites.suite import load

METHODS = ("winner", "equal", "slow_100", "unlucky")


@pytest.fixture
def give(suite, folder):
    """Set the ranking metric of methods on a dataset, one value each or one per replicate."""

    def give(dataset="plane", metric="kl", **values):
        for method, given in values.items():
            path = folder / "runs" / dataset / method / "evaluation.json"
            record = json.loads(path.read_text())
            each = np.broadcast_to(given, REPLICATES)
            for value in record["values"]:
                if value["metric"] == metric and value["value"] is not None:
                    value["value"] = float(each[value["replicate"]])
            path.write_text(json.dumps(record))
        collect(suite, folder)
        return loading.load(suite, folder)

    return give


def row_of(results, label, dataset="plane"):
    return next(row for row in results.rows(dataset) if row.label == label)


def test_controls_that_learn_nothing(results):
    assert baselines.idle(results.suite, "plane") == ["gaussian_fit"]


def test_replicates_worse_than_the_control_are_counted(give):
    results = give(gaussian_fit=1.0, winner=[0.1, 2.0, 0.1, 30.0, 0.1, 1.0])
    row = row_of(results, "winner")
    assert (row.worse, row.status, row.remarks) == (2, "ok", "2 of 6 worse than idle controls")
    assert row_of(results, "equal").remarks == "ok"
    assert row_of(results, "gaussian_fit").remarks == "ok"
    text = tables.dataset_texts(results, "plane")
    assert "2 of 6 worse than idle controls" in text["md"]
    assert "2 of 6 worse than idle controls" in text["tex"]
    shown = views.lay_out([results])[0]["end"]["datasets"]["plane"]["by"]["kl"]["rows"]
    assert "2 of 6 worse than idle controls" in [row["status"] for row in shown]


def test_failures_are_counted_apart(give):
    results = give(gaussian_fit=0.01)
    assert row_of(results, "unlucky").remarks == (
        "2 of 6 diverged at step 120, 4 of 6 worse than idle controls"
    )


def test_the_better_control_counts_in_each_replicate(give, suite):
    results = give(
        gaussian_fit=[1.0, 9.0, 1.0, 9.0, 1.0, 9.0], truth=[9.0, 1.0, 9.0, 1.0, np.nan, np.nan],
        winner=2.0,
    )  # fmt: skip
    assert row_of(results, "winner").worse == 3
    # The truth stands in for a second control that learns nothing.
    suite.methods["truth"] = suite.methods["gaussian_fit"]
    found = baselines.find(suite, results.values, "plane")
    assert found.worse["winner", "energy"] == 5
    assert set(found.controls) == {"gaussian_fit", "truth"}


def test_higher_can_be_better(give):
    results = give("pixels", "auroc", gaussian_fit=0.5, winner=[0.4, 0.6, 0.4, 0.6, 0.6, 0.6])
    assert row_of(results, "winner", "pixels").worse == 2


@pytest.mark.parametrize(
    ("level", "values", "counts"),
    [
        (1.0, 2.0, False),
        (1.0, 1.0, False),  # equal is not better
        (1.0, [0.5, 0.5, 0.5, 2.0, 2.0, 2.0], False),  # half of the replicates
        (1.0, [0.5, 0.5, 0.5, 0.5, 2.0, 2.0], True),
        (1.0, [0.99, 0.99, 0.99, 0.99, 0.99, 500.0], True),
        (np.inf, 2.0, True),  # the control has no value: nothing is known
        (1.0, np.nan, False),
    ],
)
def test_a_dataset_that_no_method_beats_does_not_enter_the_average(give, level, values, counts):
    results = give(gaussian_fit=level, **dict.fromkeys(METHODS[1:], 3.0), winner=values)
    assert ("plane" in results.counted) == counts
    found = results.overall.set_index("method")
    assert set(found["datasets"]) == {1 + counts}
    average = found.loc["winner", "average_rank"]
    on = [
        results.rankings[name].set_index("method")["mean_rank"].rank() for name in results.counted
    ]
    assert average == pytest.approx(np.mean([places["winner"] for places in on]))
    caption = tables.overall_table(results).caption
    assert ("Not in the average rank: plane" in caption) != counts
    assert ("Not in the average rank" in tables.dataset_table(results, "plane").caption) != counts
    shown = views.lay_out([results])[0]["end"]["overall"][""]
    assert ("plane" in shown["counted"]) == counts
    assert bool(shown["left_out"]) != counts


def test_no_dataset_counts(give):
    give(gaussian_fit=1e-9)
    results = give("pixels", "auroc", gaussian_fit=1.0)
    assert results.counted == []
    assert results.rank_tests is None
    table = tables.overall_table(results)
    assert {str(column) for column in table.exact["average_rank"]} == {"nan"}
    assert "plane, pixels" in table.caption
    shown = views.lay_out([results])[0]["end"]["overall"][""]
    assert shown["rows"][0]["text"] == "–"
    assert [question for question, _ in shown["answers"]] == ["Does it depend on the budget?"]


@pytest.mark.parametrize(("level", "n"), [(1e-9, 1), (5.0, 2)])
def test_texts_state_how_many_datasets_count(level, n, give):
    results = give(gaussian_fit=level)
    told = captions.figure_caption(results, "critical difference", ["plane", "pixels"])
    assert told.startswith(f"Average ranks on {n} datasets")
    assert rf"\newcommand{{\ebmSmallDatasets}}{{{n}}}" in macros.render([results])


def test_without_controls_all_datasets_count(results, suite):
    suite.methods.pop("gaussian_fit")
    assert baselines.find(suite, results.values, "plane") == baselines.Baseline()


def test_the_controls_that_have_the_density():
    toy = load("benchmarks/toy.yaml")
    assert baselines.truths(toy, "gaussian") == ["truth"]
    assert baselines.idle(toy, "gaussian") == ["gaussian", "untrained"]


@pytest.mark.parametrize(
    ("truth", "gaussian", "untrained", "true"),
    [
        (7.1077, 7.1085, 7.3626, ["gaussian"]),  # Gaussian data, by negative log-likelihood
        (7.1077, 7.1070, 7.3626, ["gaussian"]),  # by chance better than the truth
        (0.0, 1e-5, 1.2, ["gaussian"]),  # by divergence
        (7.1, 7.0999, 7.1, ["gaussian", "untrained"]),
        (8.131, 8.381, 8.385, []),
        (0.0, 0.02, 1.2, []),
        (0.0, 1e-5, np.nan, []),  # a control alone has no measure
        (np.nan, 1e-5, 1.2, []),  # no truth
    ],
)
def test_a_control_as_good_as_the_truth_is_not_compared_with(
    truth, gaussian, untrained, true, give, suite, monkeypatch
):
    give(winner=gaussian + 0.01, gaussian_fit=gaussian, truth=truth, equal=untrained)
    results = give(slow_100=9.0, unlucky=9.0)
    monkeypatch.setattr(baselines, "truths", lambda suite, dataset: ["truth"])
    monkeypatch.setattr(baselines, "idle", lambda suite, dataset: ["gaussian_fit", "equal"])
    suite.methods["equal"] = suite.methods["gaussian_fit"]
    found = baselines.find(suite, results.values, "plane")
    names = {"gaussian": "gaussian_fit", "untrained": "equal"}
    assert found.true == [names[name] for name in true]
    assert not set(found.true) & set(found.controls)
    # Nothing beats a control that has the truth; the dataset counts by the other.
    assert found.unbeaten == (not true)
    caption = tables.dataset_table(replace(results, suite=suite), "plane").caption
    assert ("as good as the truth" in caption) == bool(true)


def test_a_control_that_learns_more_than_moments_is_not_idle():
    mnist = load("benchmarks/mnist.yaml")
    assert baselines.truths(mnist, "mnist_mixture") == ["truth"]
    for dataset in mnist.datasets:
        assert baselines.idle(mnist, dataset) == ["gaussian", "untrained"]
