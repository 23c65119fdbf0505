"""A record for each change that a person makes, written in the transaction of the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import audit


@dataclass(frozen=True, slots=True)
class AuditRecord:
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    data: dict[str, object]


async def record(
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    data: Mapping[str, object] | None = None,
) -> None:
    """Notes that `actor` (anna@desk-3) did `action` (customers.add) to `subject` (acme).

    `data` is JSON, without secrets."""
    values = {"at": now, "actor": actor[:200], "action": action, "subject": subject[:400], "data": dict(data or {})}
    await connection.execute(insert(audit).values(values))


async def latest(connection: AsyncConnection, limit: int) -> list[AuditRecord]:
    """The newest `limit` records, newest first."""
    rows = await connection.execute(
        select(audit.c.id, audit.c.at, audit.c.actor, audit.c.action, audit.c.subject, audit.c.data)
        .order_by(audit.c.id.desc())
        .limit(limit)
    )
    return [AuditRecord(*row) for row in rows]
