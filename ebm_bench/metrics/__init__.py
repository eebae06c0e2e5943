"""Metrics, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "metrics")
names = partial(registry.names, "metrics")
