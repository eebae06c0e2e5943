"""Settings of parameter estimation."""

from ebm_bench.studies.estimation.estimate import Setting
from ebm_bench.suites.base import Named


def make_setting(dataset, energy, objective, data=None, model=None, settings=None, varies=None):
    return Setting(
        Named(name=dataset, settings=data or {}),
        Named(name=energy, settings=model or {}),
        Named(name=objective, settings=settings or {}),
        varies,
    )
