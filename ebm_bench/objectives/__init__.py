"""Objectives, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "objectives")
names = partial(registry.names, "objectives")
