"""Delivers what the outbox holds: at least once, in order for each ticket, and not for ever."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock
from collector.db.tables import ticket_events, tickets
from collector.desk import outbox
from collector.desk.outbox import Entry, Waiting
from collector.desk.reading import Ticket, list_tickets
from protocol.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

AT_ONCE = 16  # of different tickets
BATCHES = 25  # in one turn; what is left is for the next
TIMEOUT_SECONDS = 15.0  # of one delivery
LEASE = timedelta(seconds=60)  # longer than a batch may take
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 3600.0
MAX_ATTEMPTS = 30  # about a day


class PutOffError(TransientError):
    """It could not be delivered now; the message names neither address nor secret."""


class RefusedError(PermanentError):
    """It can never be delivered as it is; the message names neither address nor secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """What happened, and the ticket as it stands when it is sent."""

    key: str
    kind: str  # opened, assigned, commented, escalated, warned, breached, resolved, reopened
    at: datetime
    actor: str
    data: Mapping[str, object]
    ticket: Ticket


class Connector(Protocol):
    @property
    def name(self) -> str: ...

    async def send(self, message: Message, /) -> None:
        """Raises PutOffError or RefusedError; cancelled when it takes too long."""
        ...


class Database(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


def wait_seconds(attempts: int, jitter: float) -> float:
    """How long until the next try after so many failed ones: twice as long each time, up to an hour. `jitter`, from 0
    to 1, spreads it over the upper half, so that what failed together does not come again together."""
    whole = min(FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 30), LONGEST_WAIT_SECONDS)
    return whole * (0.5 + jitter / 2)


class Deliverer:
    """`turn` is called every second or so. `jitter` gives a random number from 0 to 1."""

    def __init__(
        self, database: Database, connectors: Sequence[Connector], clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self.results: Counter[tuple[str, ...]] = Counter(  # by connector and result: delivered, put_off, parked
            {(one.name, result): 0 for one in connectors for result in ("delivered", "put_off", "parked")}
        )
        self.waiting: Mapping[str, Waiting] = {}  # as of the last turn, by connector
        self._database = database
        self._connectors = {one.name: one for one in connectors}
        self._clock = clock
        self._jitter = jitter
        self._failing: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._connectors)

    async def turn(self) -> None:
        """Delivers what is due. One connector that does not answer keeps no other from its work."""
        if not self._connectors:
            return
        # Not a TaskGroup, whose exception groups would hide what may succeed later.
        done = await asyncio.gather(*map(self._empty, self._connectors.values()), return_exceptions=True)
        for failed in done:
            if failed is not None:
                raise failed
        async with self._database.connect() as connection:
            found = await outbox.waiting(connection)
        self.waiting = {name: found.get(name, Waiting()) for name in self._connectors}

    async def _empty(self, connector: Connector) -> None:
        for _ in range(BATCHES):
            # A receiver that does not answer is asked with one message until it does.
            limit = 1 if connector.name in self._failing else AT_ONCE
            if not await self._batch(connector, limit):
                return

    async def _batch(self, connector: Connector, limit: int) -> bool:
        """Whether there may be more that can be delivered now."""
        now = self._clock()
        async with self._database.connect() as connection:
            if not await outbox.is_due(connection, connector.name, now):
                return False
        async with self._database.begin() as connection:
            entries = await outbox.claim(connection, connector.name, now, until=now + LEASE, limit=limit)
            messages = await _messages(connection, entries)
        if not entries:
            return False
        outcomes = await asyncio.gather(*(_send(connector, messages.get(entry.id)) for entry in entries))
        await self._note(connector.name, list(zip(entries, outcomes, strict=True)))
        return any(outcome is None for outcome in outcomes)

    async def _note(self, connector: str, outcomes: Sequence[tuple[Entry, Exception | None]]) -> None:
        now = self._clock()
        async with self._database.begin() as connection:
            await outbox.delivered(connection, [entry for entry, error in outcomes if error is None], now)
            for entry, error in outcomes:
                if error is not None:
                    await outbox.put_off(connection, entry, self._next_try(entry, error, now), str(error))
        for entry, error in outcomes:
            if error is None:
                self.results[connector, "delivered"] += 1
            elif self._is_over(entry, error):
                self.results[connector, "parked"] += 1
                logger.warning(
                    "given up: connector=%s outbox=%d ticket=%s kind=%s reason=%s",
                    connector,
                    entry.id,
                    entry.ticket,
                    entry.kind,
                    error,
                )
            else:
                self.results[connector, "put_off"] += 1
        self._tell(connector, [error for _, error in outcomes])

    def _tell(self, connector: str, errors: Sequence[Exception | None]) -> None:
        """Logs when a connector begins to fail and when it works again."""
        put_off = [error for error in errors if isinstance(error, PutOffError)]
        if None in errors:
            if connector in self._failing:
                logger.info("delivers again: connector=%s", connector)
            self._failing.discard(connector)
        elif put_off:
            if connector not in self._failing:
                logger.warning("cannot deliver, tried again: connector=%s reason=%s", connector, put_off[0])
            self._failing.add(connector)

    def _next_try(self, entry: Entry, error: Exception, now: datetime) -> datetime | None:
        if self._is_over(entry, error):
            return None
        return now + timedelta(seconds=wait_seconds(entry.attempts + 1, self._jitter()))

    @staticmethod
    def _is_over(entry: Entry, error: Exception) -> bool:
        return isinstance(error, RefusedError) or entry.attempts + 1 >= MAX_ATTEMPTS


async def _send(connector: Connector, message: Message | None) -> Exception | None:
    """What kept it from being delivered."""
    if message is None:
        return RefusedError("its event or its ticket is gone")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await connector.send(message)
    except TimeoutError:
        return PutOffError(f"no answer within {TIMEOUT_SECONDS:.0f} s")
    except (PutOffError, RefusedError) as error:
        return error
    except Exception as error:
        # One message must not keep the others back; it counts as a try, and is given up in the end.
        logger.exception("delivery failed: connector=%s key=%s", connector.name, message.key)
        return PutOffError(f"{type(error).__name__}: see the log")
    return None


async def _messages(connection: AsyncConnection, entries: Sequence[Entry]) -> dict[int, Message]:
    """By the entry's id; those whose event is gone are missing."""
    wanted = [entry for entry in entries if entry.event is not None and entry.ticket is not None]
    if not wanted:
        return {}
    columns = (ticket_events.c.id, ticket_events.c.at, ticket_events.c.actor)
    found = await connection.execute(select(*columns).where(ticket_events.c.id.in_([one.event for one in wanted])))
    events = {row.id: row for row in found}
    numbers = {entry.ticket for entry in wanted}
    of_number = {
        ticket.number: ticket for ticket in await list_tickets(connection, wanted=[tickets.c.number.in_(numbers)])
    }
    return {
        entry.id: Message(entry.key, entry.kind, event.at, event.actor, entry.payload, ticket)
        for entry in wanted
        if (event := events.get(entry.event or 0)) is not None and (ticket := of_number.get(entry.ticket or 0))
    }
