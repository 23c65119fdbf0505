"""What commands keep their state in, for the tests of those that have some."""

from collections.abc import Callable

import pytest

from collector.config import ENVIRONMENT_PREFIX


@pytest.fixture
def state(make_url: Callable[[bool], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh database that all commands of the test use, whatever their data folder: on SQLite and on
    PostgreSQL."""
    url = make_url(True)
    monkeypatch.setenv(f"{ENVIRONMENT_PREFIX}DATABASE_URL", url)
    return url
