"""What it takes to open the ticket of an alert, beside a bare row in the same database."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bench._desk_data import NOW, customer_id
from bench._world import surroundings
from collector.alerting import records
from collector.alerting.evaluation import Transition
from collector.alerting.records import AlertState, Outcome
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import Alert, Change, Phase
from collector.contracts import Priority, load_service_models
from collector.db.database import Database
from collector.desk.opening import NewTicket
from collector.desk.tickets import join_or_open_all
from collector.incidents.decision import ticket_key
from collector.incidents.service import Incidents

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
        of_opened: list[float] = []
        of_bare: list[float] = []
        for some, number in zip(labels_of, await placeless(database, labels_of, now), strict=True):  # in turns
            of_opened.append(await timed(database, partial(opened_for, some, number, now=now)))
            of_bare.append(await timed(database, partial(bare_row, f"row {number} of round {round_}")))
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
