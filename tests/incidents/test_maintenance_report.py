"""What the report of a month tells of regular maintenance."""

from datetime import timedelta

import pytest

from collector.contracts.months import Month
from collector.db.database import Database
from collector.desk import checklists, work
from collector.desk.states import TicketStatus
from collector.fleet.people import Language
from collector.incidents import by_hand
from collector.incidents.maintenance import end_plan
from collector.reporting.maintenance import MaintenanceReport, RoundState, maintained_customers, read_maintenance
from collector.reporting.maintenance_words import MaintenanceWords
from tests.incidents.maintained import Desk, desk_of, local, opened

MARCH = Month(2026, 3)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await desk_of(database)


async def report(desk: Desk, month: Month = MARCH) -> list[MaintenanceReport]:
    async with desk.database.connect() as connection:
        customers = await maintained_customers(connection, month)
        return await read_maintenance(connection, month, desk.now, customers)


async def resolve(desk: Desk, number: int) -> None:
    async with desk.database.begin() as connection:
        await checklists.leave_out(connection, number, None, reason="no time", actor="anna", now=desk.now)
        await by_hand.set_status(
            connection, number, status=TicketStatus.RESOLVED, actor="anna", now=desk.now, force=True
        )


async def test_what_became_of_each_round(desk: Desk) -> None:
    first = await opened(desk)
    async with desk.database.begin() as connection:
        await checklists.tick(connection, first, 2, evidence="opened budget.xlsx", actor="anna", now=desk.now)
        await work.add(
            connection, first, author="anna", minutes=50, started_at=local(6, 8), actor="anna", now=local(6, 10)
        )
    await resolve(desk, first)
    *_, second = await desk.until(local(14))
    await resolve(desk, second.number)
    desk.now = local(23, 10)  # nothing ran, so the round of the 15th is there, and that of the 22nd opens late
    await desk.rounds.turn()
    (found,) = await report(desk)
    assert [(one.due_at, one.state) for one in found.rounds] == [
        (local(8), RoundState.DONE),
        (local(15), RoundState.SKIPPED),
        (local(22), RoundState.OPEN),
        (local(29, 3), RoundState.OPEN),
    ]
    assert (found.customer, found.planned, found.done, found.skipped, found.minutes) == ("acme", 4, 1, 1, 50)
    done = found.rounds[0]
    assert [(told.item, told.step.evidence) for told in done.evidence] == [(2, "opened budget.xlsx")]
    assert (done.items, done.items_done, [told.item for told in done.left_out]) == (5, 1, [1, 3, 4, 5])
    dutch, english = MaintenanceWords(Language.NL), MaintenanceWords(Language.EN)
    assert dutch.summary(found).endswith(", 2026-03: 4 gepland, 1 gedaan, 1 overgeslagen, 50 minuten")
    assert english.summary(found).endswith(", 2026-03: 4 planned, 1 done, 1 skipped, 50 minutes")
    assert [dutch.row(one)["stand"] for one in found.rounds] == ["gedaan", "overgeslagen", "bezig", "bezig"]
    assert english.row(done) | {"title": ""} == {
        "due": "2026-03-08 02:00",
        "title": "",
        "state": "done",
        "ticket": first,
        "items": 5,
        "items_done": 1,
        "minutes": 50,
    }
    assert [*dutch.items(done)][:2] == [
        f"melding {first}, Bestand uit de back-up teruggezet en geopend: opened budget.xlsx",
        f"melding {first}, Back-up van een server gekozen: overgeslagen, no time",
    ]
    assert [*english.items(done)][1].endswith(": left out, no time")
    (coming,) = await report(desk, Month(2026, 4))
    assert {one.state for one in coming.rounds} == {RoundState.COMING} and coming.planned == 4


async def test_rounds_that_nobody_opened_are_missed(desk: Desk) -> None:
    await opened(desk)
    desk.now = local(30, 10)
    await desk.rounds.turn()
    (found,) = await report(desk)
    states = [one.state for one in found.rounds]
    assert states == [RoundState.OPEN, RoundState.MISSED, RoundState.MISSED, RoundState.OPEN]
    assert found.skipped == 2


async def test_an_ended_plan_is_told_until_its_end(desk: Desk) -> None:
    await opened(desk)
    await desk.until(local(9))
    async with desk.database.begin() as connection:
        await end_plan(connection, 1, actor="anna", now=desk.now)
    desk.now += timedelta(days=30)
    (found,) = await report(desk)
    assert [one.due_at for one in found.rounds] == [local(8), local(15)]  # its ticket opened a week before
    assert await report(desk, Month(2026, 4)) == []
