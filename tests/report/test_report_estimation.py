"""Tables, figures and claims on constructed estimates, where the right conclusion is known."""

import numpy as np
import pandas as pd
import pytest

from ebm_bench.estimation_suite import EstimationSuite
from ebm_bench.report import claims, estimation, estimation_figures

METHODS = {
    "mle": {"objective": "maximum_likelihood", "reference": True},
    "nce": {"objective": "noise_contrastive", "varies": "ratio"},
    "cnce": {"objective": "conditional_noise_contrastive", "varies": "ratio"},
}
SUITE = EstimationSuite.model_validate(
    {
        "name": "made",
        "version": 1,
        "data_sets": 40,
        "sizes": [500, 1000, 5000],
        "ratios": [1, 10, 100],
        "size": 1000,
        "ratio": 10,
        "models": {
            "line": {
                "dataset": {"name": "gaussian", "settings": {"dimension": 1}},
                "energy": {"name": "quadratic"},
            },
            "ring": {"dataset": {"name": "ring"}, "energy": {"name": "ring"}},
        },
        "methods": METHODS,
    }
)


def made(factor, slope=-1.0, failed=0):
    """Estimates whose variance is that of theory, times a factor of model, method and ratio."""
    tables, theory = [], []
    rng = np.random.default_rng(3)
    base = rng.normal(size=(SUITE.data_sets, 2))
    for model in SUITE.models:
        for method in SUITE.methods:
            for size, ratio in SUITE.grid(model, method):
                scale = factor(model, method, ratio) * 1000.0 * (size / 1000) ** slope / 1000
                values = base * np.sqrt(scale)
                error = (values**2).sum(1)
                status = ["converged"] * len(error)
                if failed and method == "cnce":
                    error[:failed] = np.inf
                    status[:failed] = ["no_finite_optimum"] * failed
                keys = {"model": model, "method": method, "size": size, "ratio": ratio}
                tables.append(
                    pd.DataFrame(
                        {**keys, "status": status, "error": error, "estimate": list(values)}
                    )
                )
                expected = {"variance": 2.0 * size * scale, "bias": 0.0, "low": 1.0,
                            "median": 1.0, "high": 1.0}  # fmt: skip
                theory.append({**keys, **expected})
    return estimation.summarise(pd.concat(tables), pd.DataFrame(theory))


def published(model, method, ratio):
    """What the papers say."""
    if method == "mle":
        return 1.0
    near = 1 + 1 / ratio
    if method == "cnce":
        return near * (1 if model == "ring" else 1.05)
    return near * (10 if model == "ring" and ratio < 100 else 1)


def verdicts(summary):
    return {(v.model, v.claim): v for v in claims.check(SUITE, summary)}


def test_every_claim_is_reproduced_where_it_holds():
    found = verdicts(made(published))
    assert len(found) == 2 * 4 + 2
    assert all(v.reproduced for v in found.values()), [
        v for v in found.values() if not v.reproduced
    ]


@pytest.mark.parametrize(
    ("factor", "slope", "lost"),
    [
        (published, -0.5, {"falls linearly"}),
        (lambda *key: published(*key) * (2 if key[1] != "mle" else 1), -1, {"approaches"}),
        (lambda *key: published(*key) / (5 if key[:2] == ("line", "cnce") else 1), -1, {"beats"}),
        (lambda *key: published("line", *key[1:]), -1, {"ten times"}),
    ],
)
def test_a_claim_that_does_not_hold_is_not_reproduced(factor, slope, lost):
    found = verdicts(made(factor, slope))
    refuted = {claim for (_, claim), v in found.items() if not v.reproduced}
    assert refuted
    assert all(any(words in claim for words in lost) for claim in refuted), refuted


def test_data_sets_without_an_estimate_count_as_infinite():
    summary = made(published, failed=30)
    cnce = summary[summary["method"] == "cnce"]
    assert (cnce["failed"] == 30).all()
    assert np.isinf(cnce["median"]).all()
    assert np.isfinite(cnce["low"]).all()
    assert np.isinf(cnce["variance_ratio"]).all()
    table = estimation.variance_table(SUITE, summary, "size")
    assert table.set_index(["Model", "Method"]).loc[("line", "cnce"), "N = 500"] == (
        "∞ (30 of 40 failed)"
    )
    found = verdicts(summary)
    assert not found["line", "the error of cnce falls linearly with N in a log-log plot"].reproduced
    assert found["line", "nce beats cnce on the Gaussian"].reproduced


def test_total_variance_is_numpys_and_its_interval_covers_it():
    values = np.random.default_rng(0).normal(size=(100, 3)) * [1, 2, 3]
    variance, (low, high) = estimation.total_variance(values, 50)
    assert variance == pytest.approx(50 * values.var(0, ddof=1).sum())
    assert low < variance < high
    assert (high - low) / variance == pytest.approx(0.45, abs=0.15)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        _, (low, high) = estimation.total_variance(rng.normal(size=(100, 2)), 1)
        covered += low <= 2 <= high
    assert covered >= 51


def test_tables_have_a_row_for_each_method_that_has_a_ratio():
    summary = made(published)
    along = estimation.variance_table(SUITE, summary, "ratio")
    assert set(along["Method"]) == {"nce", "cnce"}
    assert list(along.columns[2:]) == ["ν = 1", "ν = 10", "ν = 100"]
    assert "N = 1000" in estimation.variance_caption(SUITE, "ratio")


def test_claims_are_written_with_their_criteria():
    text = claims.render(SUITE, claims.check(SUITE, made(published)))
    assert "10 of 10 checks" in text
    assert "the slope is −1 ± 0.15" in text


@pytest.mark.parametrize(
    "draw", [estimation_figures.against_size, estimation_figures.against_ratio]
)
def test_figures_have_a_panel_for_each_model(draw):
    summary = made(published, failed=30)
    figure = draw(SUITE, summary)
    assert [axis.get_title() for axis in figure.axes] == ["line", "ring"]
    for axis in figure.axes:
        assert axis.get_xscale() == axis.get_yscale() == "log"
        assert axis.get_xlabel()
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert {"mle", "nce", "cnce", "theory, median"} <= set(texts)
    # Half of cnce is lost everywhere: its marks are on top, in place of a curve.
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert any(len(line.get_xdata()) for line in hollow)
