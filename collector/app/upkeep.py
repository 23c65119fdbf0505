"""Work that is done again and again beside the requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocol.errors import TransientError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Work that is done again and again; what may succeed later (TransientError) is tried again at the next turn."""

    every_seconds: float
    work: Callable[[], Awaitable[None]]


async def repeat(name: str, upkeep: Upkeep) -> None:
    """Never ends by itself. What is put off is told once, not at every turn."""
    is_put_off = False
    while True:
        try:
            await upkeep.work()
        except TransientError as error:
            if not is_put_off:
                logger.warning("put off, tried again: work=%s error=%s", name, error)
            is_put_off = True
        else:
            if is_put_off:
                logger.info("done again: work=%s", name)
            is_put_off = False
        await asyncio.sleep(upkeep.every_seconds)
