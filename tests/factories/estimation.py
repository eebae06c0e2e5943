"""Suites and settings of parameter estimation."""

from ebm_bench.studies.estimation.estimate import Setting
from ebm_bench.suites.base import Named


def make_setting(dataset, energy, objective, data=None, model=None, settings=None, varies=None):
    return Setting(
        Named(name=dataset, settings=data or {}),
        Named(name=energy, settings=model or {}),
        Named(name=objective, settings=settings or {}),
        varies,
    )


LINE = {
    "dataset": {"name": "gaussian", "settings": {"dimension": 1}},
    "energy": {"name": "quadratic"},
}


def describe(methods, data_sets, **changes):
    """What the file of a small suite says, with maximum likelihood as the reference."""
    return {
        "kind": "estimation",
        "name": "tiny",
        "version": 1,
        "data_sets": data_sets,
        "sizes": [30, 60],
        "ratios": [1, 3],
        "size": 30,
        "ratio": 2,
        "theory_evaluations": 1000,
        "models": {"line": LINE},
        "methods": {"mle": {"objective": "maximum_likelihood", "reference": True}, **methods},
        **changes,
    }
