"""A thread that does jobs one after the other, and hands what came of them back to the event loop."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from protocol.errors import QuarkpulseError, TransientError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class StoreClosedError(TransientError):
    """The collector is stopping."""


class _Job(NamedTuple):
    """Work for the thread, and what is done with its outcome on the loop."""

    work: Callable[[], Any]
    settle: Callable[[Any, Exception | None], None]


class Worker:
    """Made on the event loop that it serves. What a job raises on purpose, and OSError, goes to who asked; anything
    else means that memory and log may differ now, so that no more jobs are taken."""

    def __init__(self, name: str) -> None:
        self.failure: BaseException | None = None  # what nobody foresaw
        self.failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises StoreClosedError if a job failed in a way that nobody foresaw."""
        if self.failure is not None:
            raise StoreClosedError("the store of samples has failed; see the log for why") from self.failure

    def put(self, work: Callable[[], Result], settle: Callable[[Result | None, Exception | None], None]) -> None:
        """Do `work` in turn, then `settle` on the loop with its result or what it raised."""
        self._jobs.put(_Job(work, settle))

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do `work` in turn. Raises what it raises, and StoreClosedError."""
        self.check()
        done: asyncio.Future[Result] = self._loop.create_future()

        def settle(result: Result | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(cast("Result", result))

        self.put(work, settle)
        return await done

    async def stop(self) -> None:
        """Finish the jobs in hand and end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.failed.set()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result: object = None
            error: Exception | None = None
            try:
                result = job.work()
            except (QuarkpulseError, OSError) as exc:
                error = exc
            except Exception as exc:
                logger.exception("the writer of samples failed")
                error = StoreClosedError("the store of samples has failed; see the log for why")
                self._loop.call_soon_threadsafe(self._fail, exc)
            self._loop.call_soon_threadsafe(job.settle, result, error)
