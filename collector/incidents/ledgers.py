"""Tickets and shadow tickets behind one interface: what is decided about incidents is the same for both."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord, Outcome
from collector.contracts import Priority
from collector.desk import shadows, tickets
from collector.desk.opening import NewTicket, Rows


class Entries(Protocol):
    """What `collector.desk.tickets` and `collector.desk.shadows` both can do, each in its way."""

    async def join_or_open(
        self, connection: AsyncConnection, wanted: NewTicket, now: datetime, reopen_within: timedelta = ..., /
    ) -> int: ...

    async def open_by_key(self, connection: AsyncConnection, keys: Collection[str], /) -> dict[str, int]: ...

    async def join_or_open_all(
        self, connection: AsyncConnection, wanted: Sequence[NewTicket], now: datetime, reopen_within: timedelta, /
    ) -> dict[str, int]: ...

    async def adopt(
        self, connection: AsyncConnection, children: Sequence[int], parent: int, now: datetime, /
    ) -> None: ...

    async def current(self, connection: AsyncConnection, numbers: Collection[int], /) -> dict[int, int]: ...

    async def retitle(self, connection: AsyncConnection, number: int, title: str, /) -> None: ...

    async def raise_to(
        self, connection: AsyncConnection, number: int, priority: Priority, now: datetime, why: str, /
    ) -> None: ...

    async def hold_open(self, connection: AsyncConnection, number: int, now: datetime, why: str, /) -> None: ...

    async def steady(self, connection: AsyncConnection, number: int, now: datetime, why: str, /) -> None: ...

    async def resolve_all(
        self, connection: AsyncConnection, over: Mapping[int, datetime | None], now: datetime, /
    ) -> None: ...

    async def correct_times(
        self,
        connection: AsyncConnection,
        number: int,
        now: datetime,
        /,
        *,
        began_at: datetime | None = ...,
        resolved_at: datetime | None = ...,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the incidents of one outcome are kept, and which of an alert's columns points there."""

    outcome: Outcome
    word: str
    entries: Entries
    rows: Rows  # what is the same of both

    def of(self, record: AlertRecord) -> int | None:
        return record.ticket if self.outcome is Outcome.TICKET else record.shadow_ticket

    def placed(self, number: int) -> dict[str, object]:
        """An alert's columns when it belongs to an entry of this ledger."""
        is_ticket = self.outcome is Outcome.TICKET
        return {"ticket": number if is_ticket else None, "shadow_ticket": None if is_ticket else number}

    @staticmethod
    def placed_nowhere() -> dict[str, object]:
        return {"ticket": None, "shadow_ticket": None}

    async def with_open_members(self, connection: AsyncConnection, numbers: Collection[int]) -> set[int]:
        return await records.with_open_members(connection, self._column, numbers)

    async def open_members(self, connection: AsyncConnection, number: int) -> list[AlertRecord]:
        return await records.open_members(connection, **self._which(number))

    async def changes_since(
        self, connection: AsyncConnection, numbers: Collection[int], since: datetime
    ) -> dict[int, dict[str, int]]:
        return await records.changes_since(connection, self._column, numbers, since)

    async def last_resolved_at(self, connection: AsyncConnection, number: int) -> datetime | None:
        return await records.last_resolved_at(connection, **self._which(number))

    async def last_placed_at(self, connection: AsyncConnection, numbers: Collection[int]) -> dict[int, datetime]:
        return await records.last_placed_at(connection, self._column, numbers)

    @property
    def _column(self) -> records.EntryColumn:
        return "ticket" if self.outcome is Outcome.TICKET else "shadow_ticket"

    def _which(self, number: int) -> dict[str, int]:
        return {"ticket": number} if self.outcome is Outcome.TICKET else {"shadow": number}


TICKETS = Ledger(Outcome.TICKET, "ticket", tickets, tickets.ROWS)
SHADOWS = Ledger(Outcome.SHADOW, "shadow ticket", shadows, shadows.ROWS)
LEDGERS = (TICKETS, SHADOWS)
