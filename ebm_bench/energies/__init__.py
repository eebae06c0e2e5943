"""Energies, made by name."""

from functools import partial

from ebm_bench import registry

create = partial(registry.create, "energies")
names = partial(registry.names, "energies")
