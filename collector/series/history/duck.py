"""DuckDB, kept on a short lead: it reads and writes Parquet files of one folder, in threads of its own, within a fixed
amount of memory, and can load nothing and open nothing else."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from protocol.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

Columns = Mapping[str, NDArray[Any]]

READERS = 4  # two for a question about the whole fleet, so that one about a device need not wait for it
NICENESS = 10  # of the thread that writes: it has time, ingest has none
# Parquet 2 encodings; a dictionary only where there are few values, since deltas and split bytes then take less.
OPTIONS = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 1000"


class HistoryError(PermanentError):
    """A file of the history cannot be read or written."""


class HistoryBusyError(TransientError):
    """Reading from disk took too long."""


class Duck:
    """One database in memory, without tables; `writer` and `readers` run what is to be done with a cursor each."""

    def __init__(self, directory: Path, *, memory_limit: str) -> None:
        self._database = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": memory_limit})
        for setting in (
            f"allowed_directories = ['{_quoted(directory)}/']",
            "temp_directory = ''",
            "enable_external_access = false",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "python_enable_replacements = false",
            "parquet_metadata_cache = true",
            "lock_configuration = true",
        ):
            self._database.execute(f"SET {setting}")
        self._lock = threading.Lock()
        self._own = threading.local()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="history-read")
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="history-write", initializer=_lower_priority)

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The calling thread's own."""
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._own, "cursor", None)
        if cursor is None:
            with self._lock:
                cursor = self._own.cursor = self._database.cursor()
        return cursor

    def read(self, jobs: Sequence[Callable[[], None]], seconds: float) -> None:
        """Do the jobs in threads that read, at once; for threads that may wait. Raises what a job raises, and
        HistoryBusyError after `seconds`."""
        begun: dict[int, duckdb.DuckDBPyConnection] = {}

        def run(number: int, job: Callable[[], None]) -> None:
            begun[number] = self.cursor
            job()

        try:
            futures = [self._readers.submit(run, number, job) for number, job in enumerate(jobs)]
        except RuntimeError as exc:
            raise HistoryBusyError("the collector is stopping") from exc
        deadline = time.monotonic() + seconds
        try:
            for future in futures:
                future.result(deadline - time.monotonic())
        except BaseException as exc:
            for number, future in enumerate(futures):
                if not future.cancel() and not future.done():
                    begun[number].interrupt()
            if isinstance(exc, TimeoutError | CancelledError):
                raise HistoryBusyError(
                    f"reading history took over {seconds:g} s; ask for fewer series, or later"
                ) from exc
            raise

    def columns(self, query: str, parameters: list[object]) -> dict[str, NDArray[Any]]:
        """What a query gives, column by column; NULL, which DuckDB makes of NaN, becomes NaN.

        Raises HistoryError, and HistoryBusyError if there was no time or memory for it."""
        try:
            found = self.cursor.execute(query, parameters).fetchnumpy()
        except (duckdb.InterruptException, duckdb.OutOfMemoryException) as exc:
            raise HistoryBusyError(f"history cannot be read now: {exc}") from exc
        except duckdb.Error as exc:
            raise HistoryError(f"history cannot be read: {exc}") from exc
        return {
            name: np.ma.filled(column, np.nan) if column.dtype.kind == "f" else np.ma.getdata(column)
            for name, column in found.items()
        }

    def write(self, path: Path, columns: Columns, *, row_group: int | None = None) -> None:
        """A new file of these columns, in this order; NaN becomes NULL. `row_group`: rows in each part of it that can
        be read alone, DuckDB's default if None. Not yet durable. Raises HistoryError."""
        cursor = self.cursor
        name = f"written_{next(_names)}"
        cursor.register(name, dict(columns))
        options = OPTIONS if row_group is None else f"{OPTIONS}, ROW_GROUP_SIZE {row_group}"
        try:
            cursor.execute(f"COPY (SELECT * FROM {name}) TO '{_quoted(path)}' ({options})")  # noqa: S608 - names of ours
        except duckdb.Error as exc:
            raise HistoryError(f"history cannot be written: {exc}; free the disk or fix its rights") from exc
        finally:
            cursor.unregister(name)

    def close(self) -> None:
        """Wait for what is in hand, then let go."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        self.writer.shutdown(wait=True, cancel_futures=True)
        self._database.close()


_names = itertools.count()


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("'", "''")


def _lower_priority() -> None:
    """Linux counts niceness by thread."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except OSError as exc:
        logger.info("the thread that writes history runs at normal priority: reason=%s", exc)
