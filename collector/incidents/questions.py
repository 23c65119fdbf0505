"""Questions to customers as tickets: whether a device that has long been silent is still in use."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import AlertOutcome, Priority, ServiceModel
from collector.desk import tickets
from collector.desk.incident_names import DEVICE_SILENT
from collector.desk.opening import NewTicket
from collector.fleet.silent import SilentDevice
from collector.incidents.decision import TicketKey


@dataclass(frozen=True, slots=True)
class TicketQuestions:
    """A question is a ticket of the lowest priority; customers whose plan opens no tickets are not asked."""

    model_of: Callable[[str, datetime], ServiceModel | None]

    async def ask(self, connection: AsyncConnection, silent: SilentDevice, text: str, now: datetime) -> int | None:
        model = self.model_of(silent.customer, now)
        if model is None or model.on_alert is not AlertOutcome.TICKET:
            return None
        wanted = NewTicket(
            key=str(TicketKey(silent.customer, f"device:{silent.device}", DEVICE_SILENT)),
            customer=silent.customer,
            site=silent.site,
            device=silent.device,
            incident=DEVICE_SILENT,
            rule=DEVICE_SILENT,
            title=f"Is {silent.hostname} nog in gebruik? / Is {silent.hostname} still in use?",
            priority=Priority.P4,
            began_at=silent.last_seen_at,
        )
        number = await tickets.join_or_open(connection, wanted, now)
        await tickets.note(connection, number, now, text)
        return number

    async def add(self, connection: AsyncConnection, number: int, text: str, now: datetime) -> None:
        await tickets.note(connection, number, now, text)

    async def is_open(self, connection: AsyncConnection, number: int) -> bool:
        return (await tickets.get_ticket(connection, number)).resolved_at is None

    async def close(self, connection: AsyncConnection, number: int, text: str, now: datetime) -> None:
        await tickets.note(connection, number, now, text)
        await tickets.resolve(connection, number, now)
