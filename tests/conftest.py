"""What tests of several folders share."""

import pytest

from ebm_bench import registry

# Those that start workflows take longest, and wait for other processes.
FIRST = ("tests/cluster/", "tests/docs/test_snippets.py", "tests/faults/test_kills.py",
         "tests/workflow/")  # fmt: skip


def pytest_collection_modifyitems(config, items):
    """Where files are dealt out to workers, those that take long come first.

    The last of them would keep one worker busy, while the others have nothing left to do.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


@pytest.fixture
def no_plugins(monkeypatch):
    """What a test loads, the next does not know."""
    monkeypatch.setattr(registry, "_loaded", {})
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()
