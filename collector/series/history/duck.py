"""DuckDB, kept on a short lead: it reads and writes Parquet files of one folder, in threads of its own, within a fixed
amount of memory, and can load nothing and open nothing else."""

import itertools
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from protocol.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Columns = Mapping[str, NDArray[Any]]

READERS = 2
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

    def read(self, work: Callable[[], T], seconds: float) -> T:
        """`work()` in a thread that reads; for threads that may wait. Raises HistoryBusyError after `seconds`."""
        begun: list[duckdb.DuckDBPyConnection] = []

        def job() -> T:
            begun.append(self.cursor)
            return work()

        try:
            future = self._readers.submit(job)
        except RuntimeError as exc:
            raise HistoryBusyError("the collector is stopping") from exc
        try:
            return future.result(seconds)
        except (TimeoutError, CancelledError) as exc:
            future.cancel()
            for cursor in begun:
                cursor.interrupt()
            raise HistoryBusyError(f"reading history took over {seconds:g} s; ask for fewer series, or later") from exc

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

    def write(self, path: Path, columns: Columns) -> None:
        """A new file of these columns, in this order; NaN becomes NULL. Not yet durable. Raises HistoryError."""
        cursor = self.cursor
        name = f"written_{next(_names)}"
        cursor.register(name, dict(columns))
        try:
            cursor.execute(f"COPY (SELECT * FROM {name}) TO '{_quoted(path)}' ({OPTIONS})")  # noqa: S608 - names of ours
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
