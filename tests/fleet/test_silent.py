"""A device that stays away: one question, two reminders, then a proposal; and an end when it reports."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from collector.contracts import DEFAULT_OFFICE_HOURS
from collector.db.tables import silent_devices
from collector.desk import tickets
from collector.desk.states import TicketStatus
from collector.fleet.errors import FleetError
from collector.fleet.silent import Case, SilentDevice, Step, next_step, set_silence
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed

FRIDAY = datetime(2026, 3, 6, 11, 0, tzinfo=UTC)
SILENT = SilentDevice("ws-1", "ws-1", "acme", "hq", FRIDAY, DEFAULT_OFFICE_HOURS, 15, False, None)
ASKED = Case(FRIDAY, FRIDAY + timedelta(days=24), 0, 1001, None)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("case", "days", "step"),
    [
        (None, 21, None),  # 14 working days lie between
        (None, 24, Step.ASK),
        (ASKED, 28, None),
        (ASKED, 34, Step.REMIND),  # Easter Monday lies between
        (replace(ASKED, reminders=2), 34, Step.CONCLUDE),
        (replace(ASKED, concluded_at=FRIDAY), 99, None),
        (replace(ASKED, ticket=None), 99, None),
        (replace(ASKED, silent_since=FRIDAY - DAY), 25, Step.CLOSE),
    ],
)
def test_what_is_due(case: Case | None, days: int, step: Step | None) -> None:
    assert next_step(replace(SILENT, case=case), FRIDAY + days * DAY) is step


async def two_leave(life: Life) -> None:
    """A laptop at acme's (monthly) and one at the bakery's (break/fix), both on their way out; acme's server stays."""
    await life.add("srv-1", "server")
    await life.add("lap-1", "laptop")
    await life.add("lap-2", "laptop", customer="bakkerij")
    await life.start()
    await life.pass_(2 * MINUTE)
    await life.leave("lap-1", "sleep")
    await life.leave("lap-2", "sleep")
    await life.pass_(2 * MINUTE)


@pytest.fixture
async def life(copies: Copies) -> AsyncIterator[Life]:
    async with resumed(copies, two_leave) as life:
        yield life


async def weeks(life: Life, count: int) -> None:
    life.now += count * 7 * DAY
    await life.pass_(2 * MINUTE)


async def said(life: Life) -> list[str]:
    """By the system, in the only ticket."""
    (ticket,) = await life.tickets()
    async with life.opened() as database, database.connect() as connection:
        events = await tickets.history(connection, ticket.number)
    return [str(event.data["text"]) for event in events if event.type == "comment"]


async def test_one_question_two_reminders_and_a_proposal(life: Life) -> None:
    await weeks(life, 3)
    assert await life.told() == []
    await weeks(life, 1)
    (ticket,) = await life.tickets()
    assert (ticket.customer, ticket.device, ticket.incident, ticket.priority) == (
        "acme",
        "lap-1",
        "device_silent",
        "P4",
    )
    (question,) = await said(life)
    assert "nog in gebruik?" in question and "still in use?" in question
    for expected in (2, 3, 4, 4):
        await weeks(life, 2)
        assert len(await said(life)) == expected
    assert "devices end lap-1" in (await said(life))[-1]
    async with life.opened() as database, database.connect() as connection:
        recorded = (await connection.execute(select(silent_devices.c.device, silent_devices.c.ticket))).all()
    assert sorted(map(tuple, recorded)) == [("lap-1", ticket.number), ("lap-2", None)]


async def test_a_device_that_reports_again_closes_the_question(life: Life) -> None:
    await weeks(life, 4)
    life.machines["lap-1"].is_reporting = True
    await life.pass_(3 * MINUTE)
    (ticket,) = await life.tickets()
    assert ticket.status is TicketStatus.RESOLVED
    assert "reports again" in (await said(life))[-1]


async def test_a_question_that_somebody_answered_is_not_asked_again(life: Life) -> None:
    await weeks(life, 4)
    (ticket,) = await life.tickets()
    async with life.opened() as database, database.begin() as connection:
        await tickets.set_status(connection, ticket.number, status=TicketStatus.RESOLVED, actor="anna", now=life.now)
    for _ in range(4):
        await weeks(life, 2)
    assert len(await said(life)) == 1
    assert (await life.device("lap-1")).ended_at is None


async def test_without_an_answer_a_device_is_retired_where_that_was_agreed(life: Life) -> None:
    async with life.opened() as database, database.begin() as connection:
        await set_silence(connection, "acme", days=5, retire_automatically=True, actor="anna", now=life.now)
        with pytest.raises(FleetError, match="1 to 250 working days"):
            await set_silence(connection, "acme", days=0, retire_automatically=True, actor="anna", now=life.now)
    for _ in range(4):
        await weeks(life, 2)
    assert (await life.device("lap-1")).ended_at is not None
    assert (await life.device("lap-2")).ended_at is None
    (ticket,) = await life.tickets()
    assert ticket.status is TicketStatus.RESOLVED
