"""Samplers, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "samplers")
names = partial(registry.names, "samplers")
