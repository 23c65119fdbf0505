"""Where queries run: a few threads beside the loop, a bounded queue before them, and nothing runs for nobody."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from collector.api.query_errors import ErrorType, QueryError, client_left

T = TypeVar("T")

GONE_CHECK_SECONDS = 1.0  # how soon a query ends whose client has left


class Stopwatch:
    """The monotonic clock of one query. Once stopped it stands past every deadline, so that the thread which evaluates
    a query nobody waits for any more ends at its next look at the clock."""

    def __init__(self) -> None:
        self._is_stopped = False

    def __call__(self) -> float:
        return math.inf if self._is_stopped else time.monotonic()

    def stop(self) -> None:
        self._is_stopped = True


class QueryWorkers:
    """At most `at_once` queries are evaluated or sent, `waiting` more wait for their turn, and others are refused."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        # The threads are counted apart from the turns: a query that is given up ends its turn at once, its thread at
        # its next look at the clock.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="query")
        self._turns = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self.in_hand = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Stopwatch]:
        """Waits for a turn; when it ends, so does what still runs by its clock. Raises QueryError if too many wait."""
        if self.in_hand >= self._most:
            raise QueryError(ErrorType.UNAVAILABLE, f"{self.in_hand} queries are in hand already; try again later")
        self.in_hand += 1
        try:
            async with self._turns:
                watch = Stopwatch()
                try:
                    yield watch
                finally:
                    watch.stop()
        finally:
            self.in_hand -= 1

    async def run(self, job: Callable[[], T], is_wanted: Callable[[], bool]) -> T:
        """`job()` in a thread. Raises QueryError soon after the result is no longer wanted."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, job)
        try:
            while not running.done():
                if not is_wanted():
                    raise client_left()
                await asyncio.wait({running}, timeout=GONE_CHECK_SECONDS)
            return running.result()
        finally:
            running.cancel()  # a job that has not begun never will

    def close(self) -> None:
        """Ends the threads; to be called when no request is in hand any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
