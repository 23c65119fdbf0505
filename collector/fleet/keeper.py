"""Keeps presence while the collector serves: judges it, and tells the database, the samples and the series of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock, to_milliseconds
from collector.fleet import devices
from collector.fleet.directory import Member
from collector.fleet.presence_series import PresenceSeries
from collector.fleet.watch import PresenceWatch, Sweep

logger = logging.getLogger(__name__)

T = TypeVar("T")

SAVE_SLICE = 2_000  # rows in one transaction


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class SeriesEnds(Protocol):
    async def end_devices(self, device_ids: Sequence[str], at: int) -> None:
        """Staleness markers for all that these devices' agents send."""
        ...


class PresenceKeeper:
    """`turn` is called every few seconds."""

    def __init__(
        self,
        watch: PresenceWatch,
        series: PresenceSeries,
        store: SeriesEnds,
        database: Transactions,
        *,
        members: Callable[[], Mapping[str, Member]],
        clock: Clock,
    ) -> None:
        self._watch = watch
        self._series = series
        self._store = store
        self._database = database
        self._members = members
        self._clock = clock
        self._found = Sweep()  # what is not stored yet
        self._untold: set[str] = set()  # devices whose series do not yet show what changed

    async def turn(self) -> None:
        """Raises what the store and the database raise; the next turn makes up for it."""
        now, members = self._clock(), self._members()
        for _ in self._watch.sweep_in_steps(members, now, self._found):
            await asyncio.sleep(0)  # a fleet of ten thousand would hold up every push that comes in meanwhile
        found = self._found
        if found.lost:
            await self._store.end_devices(found.lost, to_milliseconds(now))
            logger.info("devices fell silent: count=%d first=%s", len(found.lost), found.lost[0])
            found.lost.clear()
        self._untold |= found.changed.keys()
        await self._save(found)
        await self._series.write(members, self._untold, self._watch.offline_sites, now, self._watch.measure(now))
        self._untold.clear()

    async def _save(self, found: Sweep) -> None:
        for part in sliced(found.save, SAVE_SLICE):
            async with self._database.begin() as connection:
                await devices.save_last_seen(connection, part)
        for changed in sliced(found.changed, SAVE_SLICE):
            async with self._database.begin() as connection:
                await devices.save_presence(connection, changed)
        found.save.clear()
        found.changed.clear()


def sliced(items: Mapping[str, T], size: int) -> Iterator[dict[str, T]]:
    """`items` in parts of `size`, the last one maybe smaller."""
    iterator = iter(items.items())
    while part := dict(islice(iterator, size)):
        yield part
