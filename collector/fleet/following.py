"""What names a contract goes on under the one that follows it: plans of regular maintenance."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import maintenance_plans


async def move_plans(
    connection: AsyncConnection,
    of: Sequence[int],
    to: int,
    maintained: Collection[str],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Plans that name one of the contracts `of`, name `to` from here on, if it maintains their task; the others stay,
    and end with theirs."""
    mine = (maintenance_plans.c.contract.in_(of), maintenance_plans.c.ended_at.is_(None))
    wanted = maintenance_plans.c.task.in_(maintained)
    rows = await connection.execute(
        select(maintenance_plans.c.id, maintenance_plans.c.contract)
        .where(*mine, wanted)
        .order_by(maintenance_plans.c.id)
    )
    moved = {row.id: row.contract for row in rows}
    if not moved:
        return
    await connection.execute(
        update(maintenance_plans).where(maintenance_plans.c.id.in_(list(moved))).values(contract=to)
    )
    for plan, before in moved.items():
        data = {"contract": to, "before": before}
        await audit.record(connection, actor=actor, action="maintenance.move", subject=str(plan), now=now, data=data)


async def release_plans(connection: AsyncConnection, of: Sequence[int]) -> None:
    """Plans that name one of these contracts, which will never be, are for whichever holds."""
    await connection.execute(
        update(maintenance_plans).where(maintenance_plans.c.contract.in_(of)).values(contract=None)
    )
