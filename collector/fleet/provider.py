"""The service provider itself as a customer, and the collector as a device of it: what goes wrong with the collector is
told by the same rules and tickets as everything else.

It is no member of the fleet's directory: nobody waits for its pushes, and its presence is not judged.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels, model_named
from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import devices
from collector.fleet.customers import ensure_site, insert_customer
from collector.fleet.names import COLLECTOR, PROVIDER
from collector.fleet.policy import Policy
from collector.fleet.presence import Presence
from collector.series.labels import Target
from protocol.wire import Kind

COLLECTOR_TARGET = Target(COLLECTOR, PROVIDER, COLLECTOR, Kind.SERVER)

SYSTEM = "system"


async def ensure_provider(connection: AsyncConnection, models: ServiceModels, *, plan: str, now: datetime) -> None:
    """Makes what of it is missing. `plan` holds for a provider that is made now; people change it as any customer's.

    Raises UnknownPlanError."""
    model = model_named(models, plan)
    if await insert_customer(
        connection, customer=PROVIDER, name="The service provider itself", model=model, consent=None, now=now
    ):
        await audit.record(
            connection, actor=SYSTEM, action="customers.add", subject=PROVIDER, now=now, data={"plan": plan}
        )
    await ensure_site(connection, customer=PROVIDER, site=COLLECTOR, actor=SYSTEM, now=now)
    device = {
        "id": COLLECTOR,
        "customer": PROVIDER,
        "site": COLLECTOR,
        "kind": COLLECTOR_TARGET.kind,
        "hostname": COLLECTOR,
        "machine_id": "",
        "instance": "",
        "os": "",
        "arch": "",
        "agent_version": "",
        "enrolled_at": now,
        "policy": Policy.NONE,
        "presence": Presence.ONLINE,
        "presence_since": now,
        "presence_reason": "the collector itself: its health is measured, not its presence",
        "presence_policy": Policy.NONE,
    }
    if await insert_if_absent(connection, devices, device):
        await bump(connection, Topic.FLEET)
