"""Datasets, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "datasets")
names = partial(registry.names, "datasets")
