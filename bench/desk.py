"""What the desk takes: `python -m bench desk --json [--tickets 100000] [--customers 1000] [--database-url URL]`.

- opening: the ticket of one alert, and all that an evaluation does about one that fires, each in a transaction of its
  own, beside a bare insert and commit of one row on the same database, in turns.
- lists: every list of the API over HTTP, first pages and pages further on, with the tickets, customers, devices and
  alerts of a large provider.
- sweep: one reckoning of the SLA clocks of 10,000 open tickets.

Without a URL the database is SQLite in a folder of its own; a PostgreSQL database that is named must be empty.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import aiohttp
from aiohttp import web
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.evaluation import Transition
from collector.alerting.records import AlertState, Outcome
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import Alert, Change, Phase
from collector.api.desk.frame import ROOT, DeskApi
from collector.api.limits import Rate
from collector.app.operations import desk_operations
from collector.contracts import Priority, ServiceModel, load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.promises import load_sla_book
from collector.db import tables
from collector.db.database import Database
from collector.desk.clocks import ClockKeeper
from collector.desk.opening import NewTicket
from collector.desk.tickets import join_or_open_all
from collector.fleet.directory import FleetDirectory, load_directory
from collector.fleet.roles import Role
from collector.fleet.tokens import Token
from collector.incidents.decision import ticket_key
from collector.incidents.promised import Promised
from collector.incidents.round import Surroundings
from collector.incidents.service import Incidents
from collector.incidents.settings import IncidentSettings

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
AT_ONCE = 5_000  # rows in one statement
PAGE = 100
SILENCES_IN_FORCE = 20  # of a thousand
ROUNDS = 3
RULE = """\
groups:
  - name: desk
    rules:
      - alert: ServerFilesystemFull
        expr: filesystem_full > 0.9
        labels: {severity: major, incident: filesystem_space, category: storage}
        annotations: {summary: "{{ $labels.device_id }} is full"}
"""
BARE = Table("bench_bare", MetaData(), Column("id", Integer, primary_key=True), Column("text", String(200)))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench desk", description=__doc__)
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--opened", type=int, default=200, help="tickets that are opened one by one, in each round")
    parser.add_argument("--database-url", help="an empty PostgreSQL database, instead of SQLite in a folder of its own")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = options.database_url or f"sqlite:///{folder}/quarkpulse.db"
        report = asyncio.run(measure(url, Path(folder), options.tickets, options.customers, options.opened))
    if options.as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in report.items()))
    return 0


async def measure(url: str, folder: Path, tickets: int, customers: int, opened: int) -> dict[str, object]:
    async with await Database.open(url) as database:
        begun = time.perf_counter()
        async with database.begin() as connection:
            await fill(connection, tickets, customers)
        filled = time.perf_counter() - begun
        return {
            "database": database.dialect,
            "tickets": tickets,
            "customers": customers,
            "filled_seconds": round(filled, 1),
            "opening": await opening(database, folder, customers, opened),
            "sla_sweep": await sweep(database),
            "lists_ms": await lists(database),
        }


# Opening


async def opening(database: Database, folder: Path, customers: int, count: int) -> dict[str, object]:
    """Milliseconds, medians, each in a transaction of its own: opening the ticket of an alert whose decision is made;
    all that one evaluation does about an alert that fires, from its row to its ticket; and a bare row."""
    (folder / "rules.yaml").write_text(RULE)
    (rule,) = load_rules([folder / "rules.yaml"]).alert_rules
    incidents = Incidents(surroundings(load_service_models()["monthly"]), lambda _name, _device, _at: None)
    async with database.begin() as connection:
        await connection.run_sync(BARE.create)
    opened: list[float] = []
    decided: list[float] = []
    bare: list[float] = []
    by_round = []
    for round_ in range(ROUNDS):
        now = NOW + timedelta(minutes=30 * (round_ + 1))  # no storm of the round before
        labels_of = [labels(customer_id(number % customers), f"new-{round_}-{number}") for number in range(count)]
        of_decided = [
            await timed(database, partial(evaluated, incidents, rule, some, now=now))
            for some in [labels(one["customer"], f"{one['device_id']}-too") for one in labels_of]
        ]
        numbers = await placeless(database, labels_of, now)
        of_opened = [
            await timed(database, partial(opened_for, some, number, now=now))
            for some, number in zip(labels_of, numbers, strict=True)
        ]
        texts = [f"row {number} of round {round_}" for number in range(count)]
        of_bare = [await timed(database, partial(bare_row, text)) for text in texts]
        by_round.append(round(median(of_opened) / median(of_bare), 2))
        opened, decided, bare = opened + of_opened, decided + of_decided, bare + of_bare
    return {
        "ticket_ms": ms(opened),
        "bare_ms": ms(bare),
        "ratio": round(median(opened) / median(bare), 2),
        "ratio_by_round": by_round,
        "whole_evaluation_ms": ms(decided),
        "whole_evaluation_ratio": round(median(decided) / median(bare), 2),
    }


def ms(seconds: Sequence[float]) -> float:
    return round(median(seconds) * 1_000, 2)


async def timed(database: Database, work: Callable[[AsyncConnection], Awaitable[None]]) -> float:
    """Seconds of one transaction."""
    begun = time.perf_counter()
    async with database.begin(short=True) as connection:
        await work(connection)
    return time.perf_counter() - begun


async def bare_row(text: str, connection: AsyncConnection) -> None:
    await connection.execute(insert(BARE).values(text=text))


async def opened_for(of: Mapping[str, str], alert_id: int, connection: AsyncConnection, *, now: datetime) -> None:
    """The desk's part: the ticket with its first event and what is told outside, and the alert that points to it."""
    key = str(ticket_key(of))
    wanted = NewTicket(
        key=key,
        customer=of["customer"],
        site=of["site"],
        device=of["device_id"],
        incident="filesystem_space",
        rule="ServerFilesystemFull",
        title="the disk is full",
        priority=Priority.P2,
        began_at=now,
        category="storage",
    )
    numbers = await join_or_open_all(connection, [wanted], now)
    placed = {"outcome": Outcome.TICKET, "ticket": numbers[key], "placed_at": now}
    await records.update_alerts(connection, {alert_id: placed})


async def evaluated(
    incidents: Incidents, rule: AlertRule, of: Mapping[str, str], connection: AsyncConnection, *, now: datetime
) -> None:
    alert = Alert(of, Phase.FIRING, now, 0.97, {"summary": "the disk is full"}, fired_at=now)
    change = Transition(rule, f"{of['device_id']:0>32}"[-32:], alert, (Change.STARTED, Change.FIRED))
    await incidents.apply(connection, [change], now)


async def placeless(database: Database, labels_of: Sequence[Mapping[str, str]], now: datetime) -> list[int]:
    """Firing alerts without a ticket: their ids."""
    rows = [
        {
            "rule_key": "desk",
            "fingerprint": f"{of['device_id']:0>32}"[-32:],
            "rule": "ServerFilesystemFull",
            "rule_version": "1",
            "labels": dict(of),
            "annotations": {},
            "state": AlertState.FIRING,
            "active_since": now,
            "fired_at": now,
            "customer": of["customer"],
            "device": of["device_id"],
            "outcome": Outcome.NONE,
            "reason": "",
            "ticket_key": str(ticket_key(of)),
        }
        for of in labels_of
    ]
    async with database.begin() as connection:
        added = await records.insert_alerts(connection, rows)
    return [added["desk", str(row["fingerprint"])].id for row in rows]


def labels(customer: str, device: str) -> dict[str, str]:
    return {
        "alertname": "ServerFilesystemFull",
        "customer": customer,
        "site": "site-0",
        "device_id": device,
        "kind": "server",
        "severity": "major",
        "incident": "filesystem_space",
        "category": "storage",
    }


def surroundings(model: ServiceModel) -> Surroundings:
    return Surroundings(
        lambda _customer, _at: model,
        is_seen=lambda _device, _at: True,
        last_heard=lambda _device: None,
        is_ended=lambda _device, _at: False,
        tags_of=lambda _device: (),
        inhibit_rules=tuple,
        settings=IncidentSettings(),
    )


# SLA clocks


async def sweep(database: Database) -> dict[str, float]:
    """Seconds of the first turn, in which every open ticket gets its clocks; of one in which the time of each has come;
    and of one in which nothing happened."""
    async with database.connect() as connection:
        is_open = tables.tickets.c.resolved_at.is_(None)
        count = await connection.scalar(select(func.count()).select_from(tables.tickets).where(is_open)) or 0
    keeper = ClockKeeper(database, await promised(database))
    first, _ = await _turn(keeper, NOW)
    async with database.begin() as connection:
        await connection.execute(update(tables.ticket_clocks).values(next_at=NOW))
    all_due, reckoned = await _turn(keeper, NOW + timedelta(minutes=1))
    idle, _ = await _turn(keeper, NOW + timedelta(minutes=2))
    return {"open_tickets": count, "reckoned": reckoned, "first_turn": first, "all_due": all_due, "idle": idle}


async def _turn(keeper: ClockKeeper, now: datetime) -> tuple[float, int]:
    begun = time.perf_counter()
    reckoned = await keeper.turn(now)
    return round(time.perf_counter() - begun, 3), reckoned


async def promised(database: Database) -> Promised:
    async with database.connect() as connection:
        directory = await load_directory(connection)
    models = load_service_models()
    return Promised(lambda: directory.contracts, directory.kind_and_tags, models, load_sla_book())


# Lists


async def lists(database: Database) -> dict[str, dict[str, float]]:
    """For each list of the API, median and longest time of a page in milliseconds, as an HTTP client sees it."""
    models = load_service_models()
    book = load_sla_book()
    operations = desk_operations(
        FleetDirectory,
        dict,
        models,
        Promised(dict, FleetDirectory().kind_and_tags, models, book),
        tasks=load_maintenance_tasks(),
        book=book,
        escalate_to="dispatch",
        max_devices=100,
    )
    token = Token(1, Role.ADMIN, None, None, None, None, NOW, None, None)
    api = DeskApi(operations, database, lambda _secret: token, lambda: NOW, version="bench", rate=Rate(1e6, 1_000_000))
    application = web.Application()
    application.add_routes(api.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}{ROOT}"
    found: dict[str, dict[str, float]] = {}
    try:
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as client:
            for one in operations:
                fields = one.params.model_fields
                is_report = any(field.is_required() for field in fields.values())
                if one.method != "GET" or one.in_path or "limit" not in fields or is_report:
                    continue
                for query in queries(fields):
                    name = one.path + "".join(f" {key}={value}" for key, value in query.items())
                    found[name] = await pages(client, base + one.path, query)
    finally:
        await runner.cleanup()
    return found


def queries(fields: Iterable[str]) -> Iterator[dict[str, str]]:
    """Nothing asked, and one filter at a time."""
    yield {}
    for name, value in {
        "customer": customer_id(7),
        "status": "new",
        "priority": "P1",
        "device": device_id(70),
    }.items():
        if name in fields:
            yield {name: value}


async def pages(client: aiohttp.ClientSession, url: str, query: Mapping[str, str], count: int = 15) -> dict[str, float]:
    """The first pages, one after the other as the cursor leads; the first was asked for once before."""
    times: list[float] = []
    cursor: str | None = None
    await _page(client, url, {**query, "limit": str(PAGE)})
    for _ in range(count):
        asked = {**query, "limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        begun = time.perf_counter()
        answer = await _page(client, url, asked)
        times.append((time.perf_counter() - begun) * 1_000)
        cursor = answer.get("next_cursor")
        if cursor is None:
            break
    return {"median": round(median(times), 1), "longest": round(max(times), 1), "pages": len(times)}


async def _page(client: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> dict[str, str]:
    async with client.get(url, params=query) as response:
        text = await response.text()
        if response.status != 200:
            raise RuntimeError(f"{url} {query}: {response.status} {text[:500]}")
        answer: dict[str, str] = json.loads(text)
        return answer


# A large provider's database


def customer_id(number: int) -> str:
    return f"customer-{number:04}"


def device_id(number: int) -> str:
    return f"srv-{number:05}"


async def fill(connection: AsyncConnection, tickets: int, customers: int) -> None:
    """Tickets of two years, a tenth of them open; ten devices and some people at each customer; an alert a ticket."""
    everybody = range(customers)
    devices = range(customers * 10)
    begin = NOW - timedelta(days=730)
    await put(
        connection,
        tables.customers,
        ({"id": customer_id(n), "name": f"Customer {n}", "created_at": begin} for n in everybody),
    )
    await put(
        connection,
        tables.sites,
        (
            {"customer": customer_id(n), "id": f"site-{site}", "name": f"Site {site}", "created_at": begin}
            for n in everybody
            for site in range(2)
        ),
    )
    await put(
        connection,
        tables.contracts,
        ({"customer": customer_id(n), "plan": "monthly", "valid_from": begin} for n in everybody),
    )
    await put(
        connection,
        tables.contacts,
        (
            {"customer": customer_id(n), "name": f"Contact {c}", "email": f"c{c}@example.com", "created_at": begin}
            for n in everybody
            for c in range(3)
        ),
    )
    await put(
        connection,
        tables.technicians,
        (
            {
                "id": f"tech-{n}",
                "name": f"Technician {n}",
                "skills": [],
                "serves": [],
                "groups": [],
                "created_at": begin,
            }
            for n in range(50)
        ),
    )
    await put(
        connection,
        tables.devices,
        (
            {
                "id": device_id(n),
                "customer": customer_id(n // 10),
                "site": f"site-{n % 2}",
                "kind": "server",
                "hostname": device_id(n),
                "machine_id": str(n),
                "instance": "1",
                "os": "Debian",
                "arch": "x86_64",
                "agent_version": "0.1.0",
                "enrolled_at": begin,
                "inventory": {"model": "X"},
            }
            for n in devices
        ),
    )
    await put(connection, tables.tickets, (ticket(n, tickets, customers) for n in range(tickets)))
    numbers = list(await connection.scalars(select(tables.tickets.c.number).order_by(tables.tickets.c.number)))
    await put(
        connection,
        tables.ticket_events,
        (
            {
                "ticket": number,
                "at": opened_at(n, tickets),
                "actor": "system",
                "type": "opened",
                "data": {"priority": "P2"},
            }
            for n, number in enumerate(numbers)
        ),
    )
    await put(connection, tables.alerts, (alert(n, number, tickets, customers) for n, number in enumerate(numbers)))
    await put(
        connection,
        tables.silences,
        (
            {
                "matchers": [f'customer="{customer_id(n % customers)}"', 'alertname="X"'],
                "starts_at": NOW - timedelta(days=1),
                "ends_at": NOW + timedelta(days=1) if n < SILENCES_IN_FORCE else NOW - timedelta(hours=1),
                "author": "anna",
                "comment": "bench",
                "created_at": begin,
            }
            for n in range(1_000)
        ),
    )


def opened_at(number: int, tickets: int) -> datetime:
    return NOW - timedelta(minutes=10 * (tickets - number))


def ticket(number: int, tickets: int, customers: int) -> dict[str, object]:
    at = opened_at(number, tickets)
    is_open = number % 10 == 0
    device = number % (customers * 10)
    return {
        "key": f"{customer_id(device // 10)}/device:{device_id(device)}/i-{number}",
        "customer": customer_id(device // 10),
        "site": f"site-{device % 2}",
        "device": device_id(device),
        "incident": "filesystem_space",
        "rule": "ServerFilesystemFull",
        "title": f"the disk of {device_id(device)} is full",
        "status": "new" if is_open else "closed",
        "priority": f"P{number % 4 + 1}",
        "opened_at": at,
        "began_at": at,
        "resolved_at": None if is_open else at + timedelta(hours=3),
        "closed_at": None if is_open else at + timedelta(days=3),
        "category": "storage",
        "assignee": f"tech-{number % 50}",
    }


def alert(index: int, number: int, tickets: int, customers: int) -> dict[str, object]:
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
