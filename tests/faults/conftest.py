"""What tests of faults share."""

from functools import partial

import pytest
from factories.plugins import load

from ebm_bench import registry


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Register a class, given its base and body; returns its registered name."""
    monkeypatch.setattr(registry, "_loaded", {})
    yield partial(load, tmp_path)
    registry.entries.cache_clear()
