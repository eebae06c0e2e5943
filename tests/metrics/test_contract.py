"""Every registered metric keeps the contract."""

import pytest

from ebm_bench import metrics
from ebm_bench.metrics import features
from ebm_bench.plugins.checks.metrics import CHECKS, Case


def case(name):
    quick = {"levels": 20, "points": 100}
    settings = metrics.create(name).__dict__.keys() & quick.keys()
    return Case(name, {s: quick[s] for s in settings})


APPLYING = [(n, check) for check in CHECKS for n in metrics.names() if check.applies(case(n))]


@pytest.fixture(autouse=True)
def cheap_features(monkeypatch):
    monkeypatch.setattr(features, "extract", lambda pixels: pixels.flatten(2)[..., :20])
    monkeypatch.setattr(
        "ebm_bench.metrics.ood_auroc._others",
        lambda dataset, n, streams: streams.uniform(n, *dataset.event_shape),
    )


@pytest.mark.parametrize(("name", "check"), APPLYING, ids=lambda each: getattr(each, "name", each))
def test_contract(name, check):
    check(case(name))
