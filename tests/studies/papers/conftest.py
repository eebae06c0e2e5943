"""What tests of papers share."""

import pytest

from ebm_bench import registry


@pytest.fixture(autouse=True, scope="module")
def forgets_plugins():
    """Papers load plugins, which tests of other folders do not expect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_loaded", {})
        registry.entries.cache_clear()
        yield
    registry.entries.cache_clear()
