"""What tests of several folders share."""

import pytest

from ebm_bench import registry


@pytest.fixture
def no_plugins(monkeypatch):
    """What a test loads, the next does not know."""
    monkeypatch.setattr(registry, "_loaded", {})
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()
