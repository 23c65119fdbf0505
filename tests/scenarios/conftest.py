import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.db.fixtures import migrate
from tests.scenarios.killing import nursery

MEMORY = Path("/dev/shm")  # a kill loses nothing that was written, so the disk need not be real


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "quarkpulse.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def new_folder(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes folders, in memory where there is such a thing: a day of a story writes some thousand times."""
    base = Path(tempfile.mkdtemp(prefix="quarkpulse-", dir=MEMORY if MEMORY.is_dir() else tmp_path))
    yield lambda: Path(tempfile.mkdtemp(dir=base))
    shutil.rmtree(base)


@pytest.fixture
def folder(new_folder: Callable[[], Path]) -> Path:
    return new_folder()


@pytest.fixture(scope="package", autouse=True)
def children() -> Iterator[ForkServerContext]:
    context = nursery()
    forkserver.ensure_running()
    yield context
    # They would end with this process only, and have no other name for it. By force: DuckDB's library would complain.
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined] # private
    forkserver._forkserver._stop()  # type: ignore[attr-defined] # private
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined] # private
