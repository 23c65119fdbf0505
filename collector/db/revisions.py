"""How `serve` learns that another process changed what it keeps in memory: a number per topic, raised by writers."""

from collections.abc import Collection
from enum import StrEnum

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.inserts import insert_if_absent
from collector.db.tables import revisions as revisions_table


class Topic(StrEnum):
    FLEET = "fleet"  # customers, contracts, sites, tokens, devices
    THRESHOLDS = "thresholds"
    WINDOWS = "windows"  # of maintenance


async def bump(connection: AsyncConnection, topic: Topic) -> None:
    """Call it in the transaction of the change, so that nobody sees the one without the other."""
    raised = await connection.execute(
        update(revisions_table).where(revisions_table.c.topic == topic).values(revision=revisions_table.c.revision + 1)
    )
    if raised.rowcount == 0 and not await insert_if_absent(
        connection, revisions_table, {"topic": topic, "revision": 1}
    ):
        await bump(connection, topic)  # another process made the row in between


async def revision_of(connection: AsyncConnection, topic: Topic) -> int | None:
    """None: it was never raised."""
    return await connection.scalar(select(revisions_table.c.revision).where(revisions_table.c.topic == topic))


async def revisions(connection: AsyncConnection, topics: Collection[Topic] = tuple(Topic)) -> dict[str, int]:
    """The numbers of those of the topics that were ever raised."""
    rows = await connection.execute(_REVISIONS, {"topics": list(topics)})
    return {row.topic: row.revision for row in rows}


_REVISIONS = select(revisions_table.c.topic, revisions_table.c.revision).where(
    revisions_table.c.topic.in_(bindparam("topics", expanding=True))
)
