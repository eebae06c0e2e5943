"""Noise, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "noise")
names = partial(registry.names, "noise")
