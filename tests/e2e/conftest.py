"""What takes long to make, made once in a run."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import require
from tests.e2e.packages import Packages, build_packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packages]:
    """Built by the worker of pytest-xdist that wants them first, and removed by the last that had them."""
    require("apt-get")
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "packages"
    users, built = shared / "users", shared / "built.pickle"
    shared.mkdir(exist_ok=True)
    with locked(shared):
        if not built.exists():
            (shared / "made").mkdir()
            built.write_bytes(pickle.dumps(build_packages(shared / "made")))
        users.mkdir(exist_ok=True)
        (users / own.name).touch()
        found: Packages = pickle.loads(built.read_bytes())  # noqa: S301 - written above
    yield found
    with locked(shared):
        (users / own.name).unlink()
        if not list(users.iterdir()):
            shutil.rmtree(shared / "made")
            built.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
