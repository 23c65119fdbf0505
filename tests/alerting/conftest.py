"""What tests of evaluation share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def collected_as_in_serve() -> Iterator[None]:
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
