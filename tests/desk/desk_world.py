"""Two customers with sites, devices and contacts, and tickets that people opened."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from collector.db.database import Database
from collector.db.tables import contacts, customers, devices, sites, technicians
from collector.desk.reading import Ticket, get_ticket
from collector.desk.reported import Report, open_reported

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANNA = "anna@desk-3"


async def settle(database: Database) -> None:
    async with database.begin() as connection:
        for customer, ended_at in (("acme", None), ("bakkerij", None), ("gone", NOW)):
            row = {"id": customer, "name": customer, "created_at": NOW, "ended_at": ended_at}
            await connection.execute(insert(customers).values(row))
            for site in ("hq", "ny"):
                place = {"customer": customer, "id": site, "name": site, "created_at": NOW}
                await connection.execute(insert(sites).values(place))
            for device, site in (("ws-1", "hq"), ("ws-2", "hq"), ("ws-3", "ny")):
                known = {
                    "id": f"{customer}-{device}",
                    "customer": customer,
                    "site": site,
                    "kind": "desktop",
                    "hostname": device,
                    "machine_id": f"{customer}{device}",
                    "instance": "i",
                    "os": "o",
                    "arch": "a",
                    "agent_version": "1",
                    "enrolled_at": NOW,
                }
                await connection.execute(insert(devices).values(known))
            person = {"customer": customer, "name": "Piet", "created_at": NOW}
            await connection.execute(insert(contacts).values(person))
        for technician in ("anna", "bob"):
            worker: dict[str, object] = {"id": technician, "name": technician, "created_at": NOW}
            worker |= {"skills": [], "serves": [], "groups": []}
            await connection.execute(insert(technicians).values(worker))


async def reported(database: Database, title: str = "Outlook is slow", **more: Any) -> int:
    report = Report(**{"customer": "acme", "title": title, **more})
    async with database.begin() as connection:
        return await open_reported(connection, report, actor=ANNA, now=NOW)


async def read(database: Database, number: int) -> Ticket:
    async with database.connect() as connection:
        return await get_ticket(connection, number)
