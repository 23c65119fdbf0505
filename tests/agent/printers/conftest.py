"""The recordings, served once for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.agent.printers.snmpsim import MADE_UP, running_simulator


@pytest.fixture(scope="session")
def recordings_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    others = (f"--data-dir={MADE_UP.absolute()}",)
    with running_simulator(tmp_path_factory.mktemp("snmpsim"), options=others) as port:
        yield port
