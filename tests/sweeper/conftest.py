"""A PostgreSQL server for the session; without the distribution's packages its tests are skipped, in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.sweeper.postgresql import ABSENT, Server, binaries


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that is running; a test that stops it starts it again."""
    if binaries() is None:
        if os.environ.get("CI"):
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)
    server = Server()
    yield server
    server.remove()
