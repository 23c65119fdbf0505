"""The database of a large provider: 1,000 customers with their people, devices and what was agreed, 100,000 tickets of
two years, and an alert for each of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.sla import ClockName
from collector.db import tables
from collector.db.database import Database

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
BEGIN = NOW - timedelta(days=730)
CLOCKS = tuple(ClockName)
CATEGORIES = ("storage", "printing", "network", "backup", "security")
DEVICES_EACH = 10  # at a customer
TECHNICIANS = 50
SILENCES_IN_FORCE = 20  # of as many as there are customers
AT_ONCE = 5_000  # rows in one statement

Row = dict[str, object]


def customer_id(number: int) -> str:
    return f"customer-{number:04}"


def device_id(number: int) -> str:
    return f"srv-{number:05}"


def site_of(device: int) -> str:
    return f"site-{device // 7 % 2}"


def printer_id(number: int) -> str:
    return f"printer-{number:04}"


async def fill(connection: AsyncConnection, tickets: int, customers: int) -> None:
    """A tenth of the tickets is open; ten devices, a printer and some people at each customer."""
    everybody = range(customers)
    await put(connection, tables.customers, ({"id": customer_id(n), "name": f"Customer {n}"} | MADE for n in everybody))
    await put(
        connection,
        tables.sites,
        (
            {"customer": customer_id(n), "id": f"site-{site}", "name": f"Site {site}"} | MADE
            for n in everybody
            for site in range(2)
        ),
    )
    # What held before, too: monthly is the second contract of each.
    await put(
        connection,
        tables.contracts,
        (
            {"customer": customer_id(n), "plan": plan, "valid_from": since, "valid_to": until}
            for n in everybody
            for plan, since, until in (("break_fix", LONG_AGO, BEGIN), ("monthly", BEGIN, None))
        ),
    )
    await put(
        connection,
        tables.contacts,
        (
            {"customer": customer_id(n), "name": f"Contact {c}", "email": f"c{c}@example.com"} | MADE
            for n in everybody
            for c in range(3)
        ),
    )
    await put(connection, tables.technicians, map(technician, range(TECHNICIANS)))
    await put(connection, tables.users, (user(n) for n in everybody))
    await put(connection, tables.tokens, (token(n, customers) for n in range(2 * customers)))
    await put(connection, tables.devices, (device(n) for n in range(customers * DEVICES_EACH)))
    await put(connection, tables.devices, (printer(n) for n in everybody))
    await put(connection, tables.printers, ({"device": printer_id(n), "snmp": {}} for n in everybody))
    await put(connection, tables.printer_supplies, (supply(n, index) for n in everybody for index in range(4)))
    await put(connection, tables.found_printers, (found_printer(n) for n in everybody))
    await put(connection, tables.agent_settings, (agent_setting(n) for n in everybody))
    await put(connection, tables.thresholds, (threshold(n) for n in everybody))
    await put(connection, tables.inventories, ({"device": device_id(70)} | inventory(n) for n in range(300)))
    await put(connection, tables.maintenance_windows, (window(n) for n in everybody))
    await put(connection, tables.maintenance_plans, (plan(n) for n in everybody))
    await put(connection, tables.silences, (silence(n) for n in everybody))
    await put(connection, tables.absences, (absence(n) for n in everybody))
    await put(connection, tables.on_call, (on_call(n) for n in everybody))
    await put(connection, tables.tickets, (ticket(n, tickets, customers) for n in range(tickets)))
    numbers = list(await connection.scalars(select(tables.tickets.c.number).order_by(tables.tickets.c.number)))
    await put(connection, tables.ticket_events, (opened(n, number, tickets) for n, number in enumerate(numbers)))
    told = select(tables.ticket_events.c.id, tables.ticket_events.c.ticket).join(tables.tickets)
    closed = (await connection.execute(told.where(tables.tickets.c.closed_at.is_not(None)))).all()
    met = (clock(event, number, name) for event, number in closed for name in CLOCKS)
    await put(connection, tables.ticket_clocks, met)
    await put(connection, tables.alerts, (alert(n, number, tickets, customers) for n, number in enumerate(numbers)))
    await put(connection, tables.alerts, (asking(n) for n in range(50)))
    await put(connection, tables.work_entries, (work(n, number, tickets) for n, number in enumerate(numbers)))
    await put(connection, tables.shadow_tickets, (shadow(n, tickets // 5, customers) for n in range(tickets // 5)))


async def tidy(database: Database) -> None:
    """What PostgreSQL does by itself within a minute or so of so many new rows."""
    if database.dialect == "postgresql":
        async with database.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("VACUUM ANALYZE"))


MADE: Row = {"created_at": BEGIN}
LONG_AGO = BEGIN - timedelta(days=365)


def technician(n: int) -> Row:
    return {"id": f"tech-{n}", "name": f"Technician {n}", "skills": [], "serves": [], "groups": []} | MADE


def user(n: int) -> Row:
    return {"id": f"user-{n:04}", "name": f"User {n}", "role": "contact", "customer": customer_id(n)} | MADE


def token(n: int, customers: int) -> Row:
    return {
        "secret_hash": f"{n:064}",
        "role": "enroll" if n % 2 else "contact",
        "customer": customer_id(n % customers),
        "site": "site-0" if n % 2 else None,
        "kind": "server" if n % 2 else None,
        "user": None if n % 2 else f"user-{n % customers:04}",
    } | MADE


def device(n: int) -> Row:
    return {
        "id": device_id(n),
        "customer": customer_id(n // DEVICES_EACH),
        "site": site_of(n),
        "kind": "server",
        "hostname": device_id(n),
        "machine_id": str(n),
        "instance": "1",
        "os": "Debian",
        "arch": "x86_64",
        "agent_version": "0.1.0",
        "enrolled_at": BEGIN,
        "inventory": {"model": "X"},
    }


def printer(n: int) -> Row:
    of_it = {"id": printer_id(n), "customer": customer_id(n), "site": "site-0", "kind": "printer"}
    return device(0) | of_it | {"hostname": printer_id(n), "machine_id": f"printer {n}"}


def supply(n: int, index: int) -> Row:
    return {
        "device": printer_id(n),
        "index": f"1.{index}",
        "type": "toner",
        "color": ("black", "cyan", "magenta", "yellow")[index],
        "description": "Toner cartridge",
        "level_ratio": 0.5,
        "points": [],
        "seen_at": NOW,
    }


def found_printer(n: int) -> Row:
    return {
        "customer": customer_id(n),
        "site": "site-0",
        "found_by": device_id(n * DEVICES_EACH),
        "address": f"10.0.{n // 200}.{n % 200}",
        "ways": ["snmp"],
        "first_found_at": NOW,
        "last_found_at": NOW,
        "dismissed_at": NOW if n % 2 else None,
    }


def agent_setting(n: int) -> Row:
    of_it = {"layer": "customer", "subject": customer_id(n), "key": "push_interval"}
    return of_it | {"value": 60, "set_by": "anna", "set_at": BEGIN}


def threshold(n: int) -> Row:
    of_it = {"name": "filesystem_full", "layer": "customer", "subject": customer_id(n), "value": 0.9}
    return of_it | {"valid_from": BEGIN, "valid_to": NOW if n % 2 else None, "set_by": "anna"}


def inventory(n: int) -> Row:
    return {"at": BEGIN + timedelta(days=n), "content": {"model": f"X{n}"}}


def window(n: int) -> Row:
    return {
        "customer": customer_id(n),
        "site": "site-0",
        "starts_local": "2026-03-07T02:00:00",
        "time_zone": "Europe/Amsterdam",
        "duration_seconds": 7_200,
        "recurrence": "FREQ=WEEKLY;BYDAY=SA",
        "author": "anna",
        "reason": "patches",
        "ended_at": NOW if n % 2 else None,
    } | MADE


def plan(n: int) -> Row:
    return {
        "customer": customer_id(n),
        "task": "patch_round",
        "title": "Patches",
        "starts_local": "2026-03-07T02:00:00",
        "time_zone": "Europe/Amsterdam",
        "recurrence": "FREQ=MONTHLY;BYDAY=1SA",
        "duration_seconds": 7_200,
        "checklist": [{"nl": "controleer", "en": "look"}] * 3,
        "author": "anna",
        "ended_at": NOW if n % 2 else None,
    } | MADE


def silence(n: int) -> Row:
    return {
        "matchers": [f'customer="{customer_id(n)}"', 'alertname="X"'],
        "starts_at": NOW - timedelta(days=1),
        "ends_at": NOW + timedelta(days=1) if n < SILENCES_IN_FORCE else NOW - timedelta(hours=1),
        "author": "anna",
        "comment": "bench",
    } | MADE


def absence(n: int) -> Row:
    starts = NOW - timedelta(days=n)
    who = {"technician": f"tech-{n % TECHNICIANS}", "reason": "leave", "author": "anna"}
    return who | {"starts_at": starts, "ends_at": starts + timedelta(days=1)}


def on_call(n: int) -> Row:
    starts = NOW + timedelta(days=7 * (n - 500))
    return {"technician": f"tech-{n % TECHNICIANS}", "starts_at": starts, "ends_at": starts + timedelta(days=7)} | {
        "author": "anna"
    }


def opened_at(number: int, tickets: int) -> datetime:
    return NOW - timedelta(minutes=10 * (tickets - number))


def ticket(number: int, tickets: int, customers: int) -> Row:
    at = opened_at(number, tickets)
    is_open = number % 10 == 0
    of_device = number % (customers * DEVICES_EACH)
    return {
        "key": f"{customer_id(of_device // DEVICES_EACH)}/device:{device_id(of_device)}/i-{number}",
        "customer": customer_id(of_device // DEVICES_EACH),
        "site": site_of(of_device),
        "device": device_id(of_device),
        "incident": "filesystem_space",
        "rule": "ServerFilesystemFull",
        "title": f"the disk of {device_id(of_device)} is full",
        "status": ("assigned" if number % 30 else "new") if is_open else "closed",
        "kind": {7: "request", 8: "question", 19: "maintenance"}.get(number % 23, "incident"),
        "priority": f"P{number // 3 % 4 + 1}",
        "opened_at": at,
        "began_at": at,
        "resolved_at": None if is_open else at + timedelta(hours=3),
        "closed_at": None if is_open else at + timedelta(days=3),
        "category": CATEGORIES[number // 7 % len(CATEGORIES)],
        "assignee": f"tech-{number // 3 % TECHNICIANS}" if number % 30 else None,
        "due_at": NOW + timedelta(minutes=number % 9_000 - 2_000) if is_open and number % 40 else None,
    }


def opened(index: int, number: int, tickets: int) -> Row:
    """The event."""
    of_ticket = {"ticket": number, "at": opened_at(index, tickets), "type": "opened"}
    return of_ticket | {"actor": "system", "data": {"priority": "P2"}}


def clock(event: int, number: int, name: str) -> Row:
    """Of a ticket that was closed in time."""
    return {"ticket": number, "clock": name, "state": "met", "used_seconds": 3_600, "as_of_event": event}


def alert(index: int, number: int, tickets: int, customers: int) -> Row:
    of_ticket = ticket(index, tickets, customers)
    labels = {"customer": of_ticket["customer"], "site": of_ticket["site"], "device_id": of_ticket["device"]}
    return {
        "rule_key": "desk/ServerFilesystemFull",
        "fingerprint": f"old{index:029}",
        "rule": "ServerFilesystemFull",
        "rule_version": "1",
        "labels": labels | {"alertname": "ServerFilesystemFull", "severity": "major"},
        "annotations": {"summary": of_ticket["title"]},
        "state": "firing" if of_ticket["resolved_at"] is None else "resolved",
        "value": 0.97,
        "active_since": of_ticket["opened_at"],
        "fired_at": of_ticket["opened_at"],
        "resolved_at": of_ticket["resolved_at"],
        "customer": of_ticket["customer"],
        "device": of_ticket["device"],
        "outcome": "ticket",
        "reason": "plan monthly opens a ticket",
        "ticket": number,
        "ticket_key": of_ticket["key"],
        "placed_at": of_ticket["opened_at"],
    }


def asking(n: int) -> Row:
    """An alert that waits for a technician's word."""
    like = alert(n * 10, 0, 500, 50)
    waits = {"fingerprint": f"asks{n:028}", "outcome": "asked", "reason": "plan hybrid asks", "ticket": None}
    return like | waits | {"placed_at": None, "state": "firing", "resolved_at": None}


def work(index: int, number: int, tickets: int) -> Row:
    at = opened_at(index, tickets)
    of_ticket = {"ticket": number, "author": f"tech-{index % TECHNICIANS}", "kind": "work", "note": "cleared the disk"}
    return of_ticket | {"started_at": at, "ended_at": at + timedelta(minutes=30), "minutes": 30, "entered_at": at}


def shadow(number: int, shadows: int, customers: int) -> Row:
    like = ticket(number, shadows, customers)
    same = ("key", "customer", "site", "device", "incident", "rule", "title", "priority", "began_at", "resolved_at")
    return {name: like[name] for name in same} | {"would_have_opened_at": like["opened_at"]}


async def put(connection: AsyncConnection, table: Table, rows: Iterable[Mapping[str, object]]) -> None:
    batch: list[Mapping[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == AT_ONCE:
            await _insert(connection, table, batch)
            batch = []
    if batch:
        await _insert(connection, table, batch)


async def _insert(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    await connection.execute(insert(table), rows)
