"""A customer that leaves: what ends, what is handed over, what is erased, and what stays."""

import json
import stat
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from collector.contracts import Priority
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import (
    attachments,
    devices,
    maintenance_plans,
    maintenance_rounds,
    maintenance_windows,
    outbox,
    thresholds,
    ticket_links,
    tickets,
)
from collector.db.tables.base import metadata
from collector.desk.attachments import attach
from collector.desk.editing import change, unwatch, watch
from collector.desk.opening import NewTicket
from collector.desk.resolving import texts_of, write_solution
from collector.desk.states import TicketStatus
from collector.desk.tickets import comment, get_ticket, history, join_or_open, set_status
from collector.fleet.agreements import Agreement, Consent
from collector.fleet.contacts import Person, add_contact
from collector.fleet.contracts import add_contract, contract_at, list_contracts, set_plan
from collector.fleet.customers import add_site, get_customer
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import load_directory
from collector.fleet.erasure import erase_people, is_erased
from collector.fleet.errors import FleetError
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token
from collector.fleet.users import Profile, add_user
from collector.incidents import offboarding
from collector.incidents.silences import add_silence, silences_in_force
from collector.reporting import handover
from collector.reporting.handover import MANIFEST, HandoverError, new_file, write_handover
from tests.fleet.world import ACTOR, MODELS, NOW, make_customer, make_token

EMAIL = "j.jansen@acme.example"
PERSONAL = ("Jansen", "jansen", "4567", "hermione")
LATER = NOW + timedelta(days=3)


@pytest.fixture
async def left(database: Database) -> Database:
    """Acme with something of everything, and another customer with the same."""
    for customer in ("acme", "other"):
        await furnish(database, customer)
    return database


async def furnish(database: Database, customer: str) -> None:
    async with database.begin() as connection:
        await make_customer(connection, customer, consent=f"J. Jansen of {customer}, 2026-03-01")
        await add_site(connection, customer=customer, site="hq", name=None, actor=ACTOR, now=NOW)
        await make_token(connection, customer)
        name = "J. Jansen" if customer == "acme" else f"P. of {customer}"
        jansen = Person(name, f"{customer}.{EMAIL}", "+31 20 123 4567", is_main=True)
        contact = await add_contact(connection, customer, jansen, actor=ACTOR, now=NOW)
        profile = Profile(name, Role.CONTACT, f"{customer}.{EMAIL}", customer=customer, contact=contact.id)
        await add_user(connection, f"jansen-{customer}", profile, actor=ACTOR, now=NOW)
        await create_access_token(
            connection, role=Role.CONTACT, customer=None, site=None, user=f"jansen-{customer}", actor=ACTOR, now=NOW
        )
        device = dict.fromkeys(("os", "arch", "agent_version", "instance", "machine_id"), "x")
        device |= {"id": f"ws-{customer}", "customer": customer, "site": "hq", "kind": "desktop", "hostname": "=ws"}
        inventory = {"model": "OptiPlex", "users": ["hermione"]}
        await connection.execute(
            insert(devices).values(**device, enrolled_at=NOW, inventory=inventory, secret_hash=f"hash-{customer}")
        )
        wanted = NewTicket(
            key=f"{customer}/x", customer=customer, site="hq", device=f"ws-{customer}", incident="x", rule="X",
            title="disk full", priority=Priority.P2, began_at=NOW,
        )  # fmt: skip
        ticket = await join_or_open(connection, wanted, NOW)
        for author in (f"jansen-{customer}", name, "anna"):
            await comment(connection, ticket, text="it is full", actor=author, now=NOW, is_public=True)
        file = {"ticket": ticket, "name": "jansen.png", "media_type": "image/png", "size_bytes": 3, "digest": "x"}
        await connection.execute(
            insert(attachments).values(
                **file, content=b"abc", is_public=True, added_by=f"jansen-{customer}", added_at=NOW
            )
        )
        for matchers in ([f'customer="{customer}"'], ["alertname=X"]):
            ends_at = NOW + timedelta(days=30)
            await add_silence(
                connection, matchers=matchers, starts_at=NOW, ends_at=ends_at, author="anna", comment="c", now=NOW
            )
        window = {"customer": customer, "starts_local": "2026-03-07T02:00:00", "time_zone": "Europe/Amsterdam"}
        await connection.execute(
            insert(maintenance_windows).values(**window, duration_seconds=60, author="anna", reason="r", created_at=NOW)
        )
        for layer, subject in (("customer", customer), ("site", f"{customer}/hq"), ("device", f"ws-{customer}")):
            row = {"name": "cpu_busy", "layer": layer, "subject": subject, "value": 0.9, "valid_from": NOW}
            await connection.execute(insert(thresholds).values(**row, set_by="anna"))


async def everything(database: Database, customer: str | None = None) -> str:
    """All rows of all tables as text; of one customer where a row tells."""
    told = []
    async with database.connect() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                text = f"{table.name} {dict(row._mapping)}"
                if customer is None or customer in text:
                    told.append(text)
    return "\n".join(told)


async def export(database: Database, path: Path, customer: str = "acme") -> dict[str, int]:
    with new_file(path, customer) as out:
        async with database.connect() as connection:
            return await write_handover(connection, customer, out, now=LATER, progress=lambda _told: None)


async def stop(database: Database) -> offboarding.Ended | None:
    async with database.begin() as connection:
        return await offboarding.stop(connection, "acme", actor=ACTOR, now=LATER)


async def erase(database: Database) -> None:
    async with database.begin() as connection:
        await erase_people(connection, "acme", actor=ACTOR, now=LATER)


async def test_everything_ends_at_once_and_once(left: Database) -> None:
    assert await stop(left) == offboarding.Ended(devices=1, tokens=2, tickets=1)
    assert await stop(left) is None
    async with left.connect() as connection:
        assert (await get_customer(connection, "acme")).ended_at == LATER
        directory = await load_directory(connection)
        assert directory.members["ws-acme"].status is DeviceStatus.ENDED  # which answers 410
        assert directory.members["ws-other"].status is DeviceStatus.ACTIVE
        assert await contract_at(connection, "acme", LATER) is None
        ticket = await get_ticket(connection, 1001)
        assert (ticket.status, ticket.resolved_at, ticket.closed_at) == ("closed", LATER, LATER)
        assert (await get_ticket(connection, 1002)).status == "new"
        assert [one.id for one in await silences_in_force(connection, LATER)] == [2, 3, 4]
        open_windows = select(maintenance_windows.c.customer).where(maintenance_windows.c.ended_at.is_(None))
        assert list(await connection.scalars(open_windows)) == ["other"]
        holding = select(thresholds.c.subject).where(thresholds.c.valid_to.is_(None)).order_by(thresholds.c.id)
        assert list(await connection.scalars(holding)) == ["other", "other/hq", "ws-other"]
        latest = (await audit.latest(connection, 1))[0]
    assert (latest.action, latest.data) == ("customers.end", {"devices": 1, "tokens": 2, "tickets": 1})


async def test_the_export_holds_all_and_no_secret(left: Database, tmp_path: Path) -> None:
    await stop(left)
    path = tmp_path / "acme.zip"
    counts = await export(left, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read(MANIFEST))
        assert (manifest["customer"], manifest["rows"]) == ("acme", counts)
        assert {name for name in counts if not counts[name]} == {
            "work_entries", "parts", "shadow_tickets", "alerts", "maintenance_plans", "maintenance_rounds",
            "onboardings", "ticket_links",
        }  # fmt: skip
        for name, count in counts.items():
            rows = json.loads(archive.read(f"{name}.json"))
            assert len(rows) == count
            assert len(archive.read(f"{name}.csv").decode().splitlines()) == (count and count + 1)
        (ticket,) = json.loads(archive.read("timelines.json"))
        assert [event["actor"] for event in ticket["history"]][1:4] == ["jansen-acme", "J. Jansen", "anna"]
        (device,) = json.loads(archive.read("devices.json"))
        assert device["inventory"] == {"model": "OptiPlex", "users": ["hermione"]}
        assert "'=ws" in archive.read("devices.csv").decode()  # no formula
        assert archive.read("attachments/1") == b"abc"
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert b"hash-acme" not in whole and b"secret_hash" not in whole and b"other" not in whole


async def test_what_is_internal_is_not_handed_over(left: Database, tmp_path: Path) -> None:
    async with left.begin() as connection:
        await comment(connection, 1001, text="they never pay", actor="anna", now=NOW)
        for name, content, is_public in (("mine.txt", b"secret plan", False), ("yours.txt", b"the report", True)):
            await attach(connection, 1001, name=name, content=content, is_public=is_public, actor="anna", now=NOW)
        await set_status(
            connection, 1001, status=TicketStatus.IN_PROGRESS, actor="anna", now=NOW, why="he is a nuisance"
        )
    path = tmp_path / "acme.zip"
    counts = await export(left, path)
    with zipfile.ZipFile(path) as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
        assert {name for name in archive.namelist() if name.startswith("attachments/")} == {
            "attachments/1", "attachments/4",
        }  # fmt: skip
    for internal in (b"never pay", b"mine.txt", b"secret plan", b"nuisance"):
        assert internal not in whole
    for public in (b"yours.txt", b"the report", b"in_progress", b"it is full"):
        assert public in whole
    assert counts["attachments"] == 2


async def test_links_and_checklists_are_handed_over(
    left: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a table is read in more than one stretch."""
    monkeypatch.setattr(handover, "ROWS_AT_ONCE", 2)
    ticket: dict[str, Any] = {
        "customer": "acme",
        "incident": "x",
        "rule": "X",
        "title": "t",
        "priority": "P4",
        "status": "closed",
    }
    ticket |= {"opened_at": NOW, "began_at": NOW, "resolved_at": NOW}
    plan: dict[str, Any] = {"customer": "acme", "task": "restore_test", "title": "t"}
    plan |= {"starts_local": "2026-03-07T02:00:00", "time_zone": "Europe/Amsterdam", "recurrence": "FREQ=DAILY"}
    plan |= {"duration_seconds": 60, "checklist": []}
    done = {"en": "restore a file", "done_at": "2026-03-02T10:00:00", "evidence": "sha256 is the same"}
    async with left.begin() as connection:
        await connection.execute(insert(tickets), [ticket | {"key": key} for key in "abc"])
        numbers = list(await connection.scalars(select(tickets.c.number).where(tickets.c.key.in_(["a", "b", "c"]))))
        for other in numbers:
            await connection.execute(insert(ticket_links).values(ticket=1001, other=other, kind="related", at=NOW))
        await connection.execute(insert(maintenance_plans).values(id=7, **plan, author="anna", created_at=NOW))
        await connection.execute(
            insert(maintenance_rounds), [{"plan": 7, "due_at": NOW, "ticket": numbers[0], "checklist": [done]}]
        )
    path = tmp_path / "acme.zip"
    await export(left, path)
    with zipfile.ZipFile(path) as archive:
        assert [one["other"] for one in json.loads(archive.read("ticket_links.json"))] == sorted(numbers)
        (found,) = json.loads(archive.read("maintenance_rounds.json"))
    assert (found["plan"], found["ticket"], found["checklist"]) == (7, numbers[0], [done])


async def test_people_are_erased_and_history_stays(left: Database, tmp_path: Path) -> None:
    before = await everything(left, "other")
    await stop(left)
    await export(left, tmp_path / "acme.zip")
    for _ in range(2):
        await erase(left)
    async with left.connect() as connection:
        assert await is_erased(connection, "acme") and not await is_erased(connection, "other")
    rest = [line for line in (await everything(left)).splitlines() if "other" not in line]
    assert [line for line in rest if any(word in line for word in PERSONAL)] == []
    assert "disk full" in "\n".join(rest) and "OptiPlex" in "\n".join(rest)
    assert sum(line.startswith("contracts ") and "monthly" in line for line in rest) == 1
    assert await everything(left, "other") == before


async def test_nobody_who_is_named_in_a_ticket_stays(left: Database) -> None:
    """Also who no longer watches; the same person at another customer stays."""
    people = ("jan@x.example", "piet@x.example", f"acme.{EMAIL}", "J. Jansen", "+31 20 123 4567", "jansen-acme")
    text = f"j. jansen ({people[0].upper()}) asks to be called: +31 20 123 4567."
    async with left.begin() as connection:
        for ticket in (1001, 1002):
            for watcher in people[:2]:
                await watch(connection, ticket, watcher, actor="anna", now=NOW)
            await unwatch(connection, ticket, people[1], actor="anna", now=NOW)
            await comment(connection, ticket, text=text, actor="anna", now=NOW)
            await change(connection, ticket, {"description": text}, actor="anna", now=NOW)
            await write_solution(connection, ticket, cause=text, solution=text, actor="anna", now=NOW)
            wanted = {"starts_local": "2026-03-07T02:00:00", "time_zone": "UTC", "duration_seconds": 60}
            customer = "acme" if ticket == 1001 else "other"
            await connection.execute(
                insert(maintenance_windows).values(
                    **wanted, customer=customer, author="anna", reason=text, created_at=NOW
                )
            )
            payload = {"key": f"mail/{ticket}", "connector": "mail", "kind": "opened", "payload": {"to": text}}
            await connection.execute(
                insert(outbox).values(**payload, ticket=ticket, created_at=NOW, last_error=f"550 {people[0]}: unknown")
            )
    before = await everything(left, "other")
    await stop(left)
    for _ in range(2):
        await erase(left)
    async with left.connect() as connection:
        told = await history(connection, 1001)
        texts = await texts_of(connection, 1001)
    of_other = {"'ticket': 1002", "'subject': '1002'", "'number': 1002"}
    assert texts.cause == "erased (erased) asks to be called: erased."
    assert [event.data for event in told if event.type == "watchers"] == [
        {"added": ["erased"], "removed": []},
        {"added": ["erased"], "removed": []},
        {"added": [], "removed": ["erased"]},
    ]
    rest = [line for line in (await everything(left)).splitlines() if "other" not in line]
    named = [line for line in rest if any(one.lower() in line.lower() for one in people)]
    assert [line for line in named if not any(mark in line for mark in of_other)] == []
    assert len([line for line in named if any(mark in line for mark in of_other)]) >= 8
    assert await everything(left, "other") == before


async def test_a_run_that_was_killed_goes_on(left: Database, tmp_path: Path) -> None:
    """Between the export and the erasing nothing is lost; nor before the export is whole."""
    path = tmp_path / "acme.zip"
    await stop(left)
    with pytest.raises(KeyboardInterrupt), new_file(path, "acme") as out:
        out.write(b"PK")
        raise KeyboardInterrupt
    assert not path.exists()
    first = await export(left, path)
    assert await stop(left) is None
    assert await export(left, path) == first
    await erase(left)


async def test_no_other_file_is_overwritten(left: Database, tmp_path: Path) -> None:
    for content in (b"precious", b""):
        path = tmp_path / "mine.zip"
        path.write_bytes(content)
        with pytest.raises(HandoverError, match="no export of acme"):
            await export(left, path)
        assert path.read_bytes() == content
    await export(left, tmp_path / "other.zip", "other")
    with pytest.raises(HandoverError, match="no export of acme"):
        await export(left, tmp_path / "other.zip")
    with pytest.raises(HandoverError, match="cannot be written"):
        await export(left, tmp_path / "nowhere" / "acme.zip")


async def test_an_end_on_a_later_day_ends_the_contracts_alone(left: Database) -> None:
    day = NOW + timedelta(days=30)
    async with left.begin() as connection:
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan="monthly",
            starts_at=day + timedelta(days=30),
            consent=None,
            actor=ACTOR,
            now=NOW,
        )
        assert await offboarding.plan_end(connection, "acme", ends_at=day, actor=ACTOR, now=NOW) == 2
        assert await offboarding.plan_end(connection, "acme", ends_at=day, actor=ACTOR, now=NOW) == 0
        held = [await contract_at(connection, "acme", day + timedelta(days=days)) for days in (-1, 0, 40)]
        assert [one is not None for one in held] == [True, False, False]
        assert (await get_customer(connection, "acme")).ended_at is None
        with pytest.raises(FleetError, match="does not end"):
            await offboarding.stop(connection, "provider", actor=ACTOR, now=NOW)
    await stop(left)
    with pytest.raises(FleetError, match="no longer looked after"):
        async with left.begin() as connection:
            await add_contract(
                connection,
                MODELS,
                customer="acme",
                plan="monthly",
                agreement=Agreement(),
                consent=Consent("J", "2026"),
                valid_from=datetime(2027, 1, 1, tzinfo=UTC),
                valid_to=None,
                actor=ACTOR,
                now=LATER,
            )
    async with left.connect() as connection:
        assert all(one.valid_to is not None for one in await list_contracts(connection, "acme"))
