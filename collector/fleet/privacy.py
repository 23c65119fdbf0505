"""What a customer allows inventories to hold: names of users, lists of software. By default only counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import customers
from collector.fleet.customers import get_customer
from collector.fleet.inventories import strip_inventories


@dataclass(frozen=True, slots=True)
class Privacy:
    """Whether it is allowed."""

    user_names: bool = False
    software: bool = False


async def set_privacy(
    connection: AsyncConnection,
    customer: str,
    *,
    user_names: bool | None = None,
    software: bool | None = None,
    actor: str,
    now: datetime,
) -> Privacy:
    """None: as it is. Agents are told at their next push. What is allowed no more is taken out of all inventories.

    Raises NotFoundError."""
    await get_customer(connection, customer)
    before = (await load_privacy(connection, customer)).get(customer, Privacy())
    after = Privacy(
        before.user_names if user_names is None else user_names, before.software if software is None else software
    )
    if after == before:
        return after
    await connection.execute(
        update(customers)
        .where(customers.c.id == customer)
        .values(user_names_allowed=after.user_names, software_allowed=after.software)
    )
    if (before.user_names and not after.user_names) or (before.software and not after.software):
        await strip_inventories(connection, customer, user_names=after.user_names, software=after.software)
    data = {"user_names": after.user_names, "software": after.software}
    await audit.record(connection, actor=actor, action="customers.set-privacy", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)
    return after


async def load_privacy(connection: AsyncConnection, customer: str | None = None) -> Mapping[str, Privacy]:
    """Of the customers, or the one, that allow something."""
    columns = customers.c
    query = select(columns.id, columns.user_names_allowed, columns.software_allowed)
    query = query.where(or_(columns.user_names_allowed, columns.software_allowed))
    if customer is not None:
        query = query.where(columns.id == customer)
    return {row.id: Privacy(row.user_names_allowed, row.software_allowed) for row in await connection.execute(query)}
