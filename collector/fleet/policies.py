"""Presence policies that somebody set: for a device, or for all of a customer's devices of a kind."""

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import devices, presence_policies
from collector.fleet.customers import get_customer
from collector.fleet.devices import get_device
from collector.fleet.policy import Policy
from protocol.wire import Kind


async def set_device_policy(
    connection: AsyncConnection, device: str, policy: Policy | None, *, actor: str, now: datetime
) -> None:
    """None: what holds for its customer and kind again. Raises NotFoundError."""
    before = (await get_device(connection, device)).policy
    await connection.execute(update(devices).where(devices.c.id == device).values(policy=policy))
    data = {"policy": policy, "before": before}
    await audit.record(connection, actor=actor, action="devices.set-policy", subject=device, now=now, data=data)
    await bump(connection, Topic.FLEET)


async def set_customer_policy(
    connection: AsyncConnection, customer: str, kind: Kind, policy: Policy | None, *, actor: str, now: datetime
) -> None:
    """For the devices of a kind that have no policy of their own. None: the kind's default again.

    Raises NotFoundError.
    """
    await get_customer(connection, customer)
    of_kind = (presence_policies.c.customer == customer, presence_policies.c.kind == kind)
    if policy is None:
        await connection.execute(delete(presence_policies).where(*of_kind))
    else:
        row = {"customer": customer, "kind": kind, "policy": policy}
        if not await insert_if_absent(connection, presence_policies, row):
            await connection.execute(update(presence_policies).where(*of_kind).values(policy=policy))
    data = {"kind": kind, "policy": policy}
    await audit.record(connection, actor=actor, action="customers.set-policy", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)


async def customer_policies(connection: AsyncConnection) -> dict[tuple[str, str], str]:
    """By customer and kind."""
    return {(row.customer, row.kind): row.policy for row in await connection.execute(_POLICIES)}


_POLICIES = select(presence_policies.c.customer, presence_policies.c.kind, presence_policies.c.policy)
