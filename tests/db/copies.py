"""What many tests begin with is made once for each kind of database, and copied for each test: a folder and a database
as something left them."""

import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from tests.db.fixtures import Cluster, Rows

T = TypeVar("T")
FILE = "quarkpulse.db"  # in the folder: the database, on SQLite


@dataclass(frozen=True, slots=True)
class Original(Generic[T]):
    folder: Path
    rows: Rows | None  # of its database; None: that is a file of the folder
    told: T  # what made it


@dataclass
class Copies:
    """Of one test."""

    folder: Path  # the test's copy
    new_folder: Callable[[], Path]
    migrated: Path  # a database of SQLite
    cluster: Cluster | None  # None: SQLite
    originals: dict[object, Original[Any]]  # by name; they are of the whole run
    taken: list[str] = field(default_factory=list)

    async def take(self, name: object, make: Callable[[Path, str], Awaitable[T]]) -> tuple[str, T]:
        """Copies the original of that name into the folder; gives the URL of its database, and what `make` told.

        If there is none yet, `make` makes it, in a folder and a migrated database whose URL it is given, and leaves
        nothing open there. What it tells is handed to many tests, so nobody may change it."""
        key = (name, self.cluster is None)
        if key not in self.originals:
            self.originals[key] = await self._make(make)
        original: Original[T] = self.originals[key]
        shutil.copytree(original.folder, self.folder, dirs_exist_ok=True)
        return await self._url(self.folder, original.rows), original.told

    async def _make(self, make: Callable[[Path, str], Awaitable[T]]) -> Original[T]:
        folder = self.new_folder()
        if self.cluster is None:
            shutil.copy(self.migrated, folder / FILE)
        url = await self._url(folder, None)
        told = await make(folder, url)
        return Original(folder, None if self.cluster is None else await self.cluster.read(url), told)

    async def _url(self, folder: Path, rows: Rows | None) -> str:
        if self.cluster is None:
            return f"sqlite:///{folder / FILE}"
        self.taken.append(await self.cluster.take(rows))
        return self.taken[-1]


@pytest.fixture(scope="session")
def originals() -> dict[object, Original[Any]]:
    return {}


@pytest.fixture
def copies(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copies]:
    """On SQLite and on PostgreSQL."""
    folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    made = Copies(
        tmp_path,
        lambda: folders.mktemp("original"),
        request.getfixturevalue("sqlite_template"),
        request.getfixturevalue("postgresql") if backend == "postgresql" else None,
        request.getfixturevalue("originals"),
    )
    yield made
    if made.cluster is not None:
        made.cluster.spare += made.taken
