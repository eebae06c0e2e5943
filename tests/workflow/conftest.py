"""Copies of the repository for tests of its workflow."""

import pytest
from factories.checkouts import Checkout


@pytest.fixture(scope="session")
def make_checkout():
    return Checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("checkout"))
