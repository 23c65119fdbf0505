"""The recordings, served once for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.agent.printers.snmpsim import running_simulator


@pytest.fixture(scope="session")
def recordings_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_simulator(tmp_path_factory.mktemp("snmpsim")) as port:
        yield port
