"""Calls an address outside after each successful pass of the rules: who waits there notices when no call comes.

A monitoring that has died cannot tell so itself.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import aiohttp

from collector.clock import Clock

logger = logging.getLogger(__name__)

TURN_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0


class DeadMan:
    """`turn` is called every TURN_SECONDS. `passes` counts the evaluations that were stored; None while something is
    wrong. `monotonic` measures, in seconds."""

    def __init__(
        self,
        url: str,
        every_seconds: float,
        passes: Callable[[], int | None],
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self.pings = {"ok": 0, "failed": 0}
        self.last_success: datetime | None = None
        self._url = url  # who knows it may keep the alarm quiet: it is a secret
        self._every_seconds = every_seconds
        self._passes = passes
        self._clock = clock
        self._monotonic = monotonic
        self._passes_told = 0
        self._called_at: float | None = None
        self._is_failing = False

    async def turn(self) -> None:
        """Calls if there is something new to tell and the last call was long enough ago. Failures are counted."""
        passes, now = self._passes(), self._monotonic()
        if passes is None or passes == self._passes_told:
            return
        if self._called_at is not None and now - self._called_at < self._every_seconds:
            return
        self._called_at, self._passes_told = now, passes
        problem = await self._call()
        self.pings["failed" if problem else "ok"] += 1
        if problem is None:
            self.last_success = self._clock()
            if self._is_failing:
                logger.info("the dead-man address answers again: host=%s", self._host)
        elif not self._is_failing:
            logger.warning("the dead-man address was not reached: host=%s reason=%s", self._host, problem)
        self._is_failing = problem is not None

    async def _call(self) -> str | None:
        """What kept the call from being taken; the text names no part of the address."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                aiohttp.ClientSession() as session,
                session.get(self._url) as response,
            ):
                return None if response.ok else f"status {response.status}"
        except TimeoutError:
            return f"no answer within {TIMEOUT_SECONDS:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # their texts may hold the whole address
            return type(error).__name__

    @property
    def _host(self) -> str:
        return urlsplit(self._url).hostname or ""
