import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from collector.cli.serve import CYCLES_SOUGHT
from collector.config import CONFIG_NAME, DATABASE_NAME
from tests.scenarios.killing import nursery

MEMORY = Path("/dev/shm")  # a kill loses nothing that was written, so the disk need not be real


@pytest.fixture
def new_folder(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes folders, in memory where there is such a thing: a day of a story writes some thousand times."""
    base = Path(tempfile.mkdtemp(prefix="quarkpulse-", dir=MEMORY if MEMORY.is_dir() else tmp_path))
    yield lambda: Path(tempfile.mkdtemp(dir=base))
    shutil.rmtree(base)


@pytest.fixture
def folder(new_folder: Callable[[], Path]) -> Path:
    return new_folder()


@pytest.fixture
def new_data(new_folder: Callable[[], Path], request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Makes data folders of a collector whose state is in a fresh, migrated database: `sqlite` or `postgresql`."""

    def made(backend: str) -> Path:
        data = new_folder()
        if backend == "sqlite":
            shutil.copy(request.getfixturevalue("sqlite_template"), data / DATABASE_NAME)
        else:
            lend: Callable[[], str] = request.getfixturevalue("lend_postgresql")
            (data / CONFIG_NAME).write_text(f'database_url = "{lend()}"\n')
        return data

    return made


@pytest.fixture(scope="package", autouse=True)
def seldom_collected() -> Iterator[None]:
    """Looks for cycles of objects as seldom as a collector that serves."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*CYCLES_SOUGHT)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(scope="package", autouse=True)
def children() -> Iterator[ForkServerContext]:
    context = nursery()
    forkserver.ensure_running()
    yield context
    # They would end with this process only, and have no other name for it. By force: DuckDB's library would complain.
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined] # private
    forkserver._forkserver._stop()  # type: ignore[attr-defined] # private
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined] # private
