"""Regular maintenance: rounds that come due become tickets, once each, with a checklist and a window."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.agreement_files import AgreementFileError
from collector.contracts.maintenance_tasks import OWN_NAME, UnknownTaskError, load_maintenance_tasks
from collector.contracts.recurrence import RecurrenceError
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import attachments, maintenance_rounds
from collector.desk import attachments as files
from collector.desk import checklists, tickets
from collector.desk import maintenance as store
from collector.desk.fields import TicketError, TicketKind, TicketSource
from collector.desk.maintenance import MaintenanceError, Plan, Step
from collector.desk.rounds import due, rounds_between
from collector.desk.states import TicketStatus
from collector.fleet.contracts import change_contract, list_contracts, set_plan
from collector.incidents import by_hand, windows
from collector.incidents.maintenance import NewPlan, end_plan
from collector.incidents.windows import Scope
from collector.reporting.totals import count_totals
from tests.db.racing import race
from tests.incidents.maintained import (
    AMSTERDAM,
    MODELS,
    PATCHES,
    START,
    TASKS,
    Desk,
    desk_of,
    local,
    opened,
)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await desk_of(database)


async def test_a_round_opens_some_days_before_it_is_due(desk: Desk) -> None:
    plan = await desk.plan()
    assert await desk.until(local(5, 1, 59), step=timedelta(hours=1)) == []
    (ticket,) = await desk.until(local(5, 3))
    assert (ticket.kind, ticket.source, ticket.customer, ticket.site) == (
        TicketKind.MAINTENANCE,
        TicketSource.PLAN,
        "acme",
        "hq",
    )
    assert (ticket.title, ticket.priority) == ("Updateronde / Patch round, 2026-03-08 02:00", "P4")
    assert await desk.notes(ticket.number) == [
        "round of maintenance plan 1 at acme/hq, due 2026-03-08 02:00 Europe/Amsterdam; maintenance window 1 holds "
        "back what fires there then, for 240 minutes"
    ]
    assert await desk.until(local(11)) == [ticket]
    assert len(await desk.until(local(12, 3))) == 2
    async with desk.database.connect() as connection:
        window = await windows.get_window(connection, 1)
        rounds = await store.rounds_of(connection, [plan])
    assert window.open_at(local(8, 5, 59)) is not None and window.open_at(local(8, 6)) is None
    assert [one.due_at for one in rounds] == [local(8), local(15)]


async def test_each_round_opens_once_whoever_looks_and_dies(desk: Desk) -> None:
    await desk.plan()
    await desk.until(local(5, 3))
    for _ in range(3):
        desk.restart()
        await desk.rounds.turn()
    assert len(await desk.tickets()) == 1


async def test_rounds_keep_the_clock_on_the_wall_over_summer_time(desk: Desk) -> None:
    await desk.plan()
    await desk.until(local(6, month=4))
    async with desk.database.connect() as connection:
        rounds = await store.rounds_of(connection, [1])
    hours = [one.due_at.astimezone(AMSTERDAM).strftime("%d %H:%M") for one in rounds]
    assert hours == ["08 02:00", "15 02:00", "22 02:00", "29 03:00", "05 02:00"]


async def test_after_an_absence_the_latest_missed_round_opens_and_tells_of_the_others(desk: Desk) -> None:
    await desk.plan()
    desk.restart()
    desk.now = local(30, 10)
    await desk.rounds.turn()
    (late,) = await desk.tickets()
    assert late.title.endswith("2026-03-29 03:00") and late.began_at == local(29, 3)
    assert (await desk.notes(late.number))[0].endswith("missed before: 2026-03-08, 2026-03-15, 2026-03-22")
    desk.restart()
    await desk.rounds.turn()
    assert len(await desk.tickets()) == 1
    assert len(await desk.until(local(2, 3, month=4))) == 2  # the next one opens as ever


async def test_a_plan_ends_with_its_contract(desk: Desk) -> None:
    await desk.plan()
    await desk.until(local(6))
    async with desk.database.begin() as connection:
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan="break_fix",
            starts_at=local(9),
            consent=None,
            actor="t",
            now=desk.now,
        )
    await desk.load()
    assert len(await desk.until(local(8))) == 1
    (ticket,) = await desk.until(local(20))
    assert (await desk.notes(ticket.number))[-1] == "maintenance plan 1 was ended: no contract of acme maintains it"
    async with desk.database.connect() as connection:
        assert (await store.get_plan(connection, 1)).ended_at is not None
        assert (await windows.get_window(connection, 1)).ended_at is not None


async def change(desk: Desk, starts_at: datetime, **changes: object) -> int:
    """The contract that follows the first."""
    async with desk.database.begin() as connection:
        found = await change_contract(
            connection, MODELS, 1, changes=changes, starts_at=starts_at, actor="t", now=desk.now
        )
    await desk.load()
    return found.id


async def test_a_plan_of_a_contract_goes_on_under_the_one_that_follows(desk: Desk) -> None:
    await desk.plan(replace(PATCHES, contract=1))
    await desk.until(local(6))
    new = await change(desk, local(9), fee=Decimal("80.00"))
    assert len(await desk.until(local(18))) == 2
    async with desk.database.connect() as connection:
        plan = await store.get_plan(connection, 1)
        told = [one for one in await audit.latest(connection, 5) if one.action == "maintenance.move"]
    assert (plan.contract, plan.ended_at) == (new, None)
    assert [(one.subject, one.data) for one in told] == [("1", {"contract": new, "before": 1})]


async def test_a_plan_ends_with_its_contract_if_what_follows_does_not_maintain_it(desk: Desk) -> None:
    await desk.plan(replace(PATCHES, contract=1))
    await change(desk, local(9), plan="break_fix")
    assert len(await desk.until(local(8))) == 1
    (ticket,) = await desk.until(local(20))
    assert (await desk.notes(ticket.number))[-1] == "maintenance plan 1 was ended: its contract has ended"


@pytest.mark.parametrize(("model", "rounds"), [("managed", 2), ("break_fix", 1)])
async def test_a_plan_of_a_contract_that_never_came_holds_back_no_change_of_plan(
    desk: Desk, model: str, rounds: int
) -> None:
    """The contract that follows is called off before it begins."""
    await desk.plan(replace(PATCHES, contract=1))
    await change(desk, local(20), fee=Decimal("80.00"))
    async with desk.database.begin() as connection:
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan=model,
            starts_at=local(9),
            consent=None,
            actor="t",
            now=desk.now,
        )
        assert [one.plan for one in await list_contracts(connection, "acme")] == ["monthly", model]
    await desk.load()
    assert len(await desk.until(local(18))) == rounds


async def test_a_plan_of_a_contract_that_is_not_known_yet_goes_on(desk: Desk) -> None:
    """What `serve` keeps in memory may be behind the database by a moment."""
    await desk.plan()
    desk.contracts = {}
    assert len(await desk.until(local(6))) == 0
    async with desk.database.connect() as connection:
        assert (await store.get_plan(connection, 1)).ended_at is None
    await desk.load()
    assert len(await desk.until(local(6, 12))) == 1


async def test_a_plan_is_ended_by_hand(desk: Desk) -> None:
    plan = await desk.plan()
    (ticket,) = await desk.until(local(6))
    async with desk.database.begin() as connection:
        await end_plan(connection, plan, actor="anna", now=desk.now)
        newest, second, *_ = await audit.latest(connection, 2)
    assert (newest.action, second.action) == ("maintenance.end", "windows.end")
    assert await desk.until(local(30)) == [ticket]
    with pytest.raises(MaintenanceError, match="has ended before"):
        async with desk.database.begin() as connection:
            await end_plan(connection, plan, actor="anna", now=desk.now)


@pytest.mark.parametrize(
    ("wrong", "error", "problem"),
    [
        ({"task": "dusting"}, UnknownTaskError, "choose one of patch_round"),
        ({"recurrence": "FREQ=HOURLY"}, RecurrenceError, "FREQ is DAILY"),
        ({"scope": Scope("acme", "nosuch")}, Exception, "nosuch"),
        ({"scope": Scope("nosuch")}, Exception, "nosuch"),
        ({"length": timedelta(days=40)}, MaintenanceError, "lasts 1 minute"),
        ({"contract": 77}, MaintenanceError, "no contract 77"),
        ({"title": "x" * 151}, MaintenanceError, "at most 150"),
    ],
)
async def test_a_plan_that_cannot_be(
    desk: Desk, wrong: dict[str, object], error: type[Exception], problem: str
) -> None:
    values = {name: getattr(PATCHES, name) for name in NewPlan.__annotations__}
    with pytest.raises(error, match=problem):
        await desk.plan(NewPlan(**(values | wrong)))


async def test_only_what_the_contract_maintains_is_planned(desk: Desk) -> None:
    async with desk.database.begin() as connection:
        await set_plan(
            connection, MODELS, customer="acme", plan="break_fix", starts_at=START, consent=None, actor="t", now=START
        )
    with pytest.raises(MaintenanceError, match="plan break_fix, which has no patch_round: it maintains nothing"):
        await desk.plan()


async def test_a_checklist_is_done_or_left_out_before_its_ticket_is_resolved(desk: Desk) -> None:
    number = await opened(desk)

    async def resolve() -> None:
        async with desk.database.begin() as connection:
            await by_hand.set_status(
                connection, number, status=TicketStatus.RESOLVED, actor="anna", now=desk.now, force=True
            )

    async with desk.database.begin() as connection:
        for item in (1, 5):
            await checklists.tick(connection, number, item, note="srv-1", actor="anna", now=desk.now)
        with pytest.raises(MaintenanceError, match="needs something that shows it"):
            await checklists.tick(connection, number, 2, actor="anna", now=desk.now)
        done = await checklists.tick(connection, number, 2, evidence="budget.xlsx opened", actor="ben", now=desk.now)
    assert done.checklist[1].evidence == "budget.xlsx opened" and done.checklist[1].done_by == "ben"
    with pytest.raises(MaintenanceError, match="is not over: 3 A whole server started in a test environment; 4 "):
        await resolve()
    async with desk.database.begin() as connection:
        await checklists.leave_out(connection, number, 3, reason="no machine free", actor="anna", now=desk.now)
        await checklists.untick(connection, number, 1, actor="anna", now=desk.now)
        left = await checklists.leave_out(connection, number, None, reason="no time", actor="anna", now=desk.now)
    assert [step.left_out for step in left.checklist] == ["no time", None, "no machine free", "no time", None]
    await resolve()
    (ticket,) = await desk.tickets()
    assert ticket.status is TicketStatus.RESOLVED and ticket.touched
    with pytest.raises(MaintenanceError, match="reopen it first"):
        async with desk.database.begin() as connection:
            await checklists.untick(connection, number, 1, actor="anna", now=desk.now)


async def test_evidence_may_be_a_file_beside_the_ticket(desk: Desk) -> None:
    number = await opened(desk)
    async with desk.database.begin() as connection:
        values = {"name": "restore.png", "media_type": "image/png", "size_bytes": 1, "digest": "0" * 64}
        values |= {"content": b"x", "added_by": "anna", "added_at": START, "ticket": number}
        added = await connection.execute(insert(attachments).values(values).returning(attachments.c.id))
        file = int(added.scalar_one())
        ticked = await checklists.tick(connection, number, 2, attachment=file, actor="anna", now=desk.now)
        with pytest.raises(MaintenanceError, match="has no attachment 99"):
            await checklists.tick(connection, number, 4, attachment=99, actor="anna", now=desk.now)
        with pytest.raises(MaintenanceError, match="items 1 to 5, not 6"):
            await checklists.tick(connection, number, 6, actor="anna", now=desk.now)
        with pytest.raises(MaintenanceError, match="is no round of maintenance"):
            await store.get_round(connection, number + 1)
    assert (ticked.checklist[1].attachment, ticked.checklist[1].digest) == (file, "0" * 64)


async def test_what_shows_that_an_item_was_done_is_not_removed(desk: Desk) -> None:
    number = await opened(desk)

    async def add(connection: AsyncConnection, content: bytes) -> files.Attachment:
        return await files.attach(connection, number, name="restored.txt", content=content, actor="anna", now=desk.now)

    async with desk.database.begin() as connection:
        shows, other = await add(connection, b"restored"), await add(connection, b"other")
        ticked = await checklists.tick(connection, number, 2, attachment=shows.id, actor="anna", now=desk.now)
        assert ticked.checklist[1].digest == shows.digest == hashlib.sha256(b"restored").hexdigest()
        (event,) = [one for one in await tickets.history(connection, number) if one.type == "checklist"]
        assert event.data["digest"] == shows.digest
        await files.remove(connection, number, other.id, actor="anna", now=desk.now)
        with pytest.raises(TicketError, match=f"item 2 of ticket {number} was done, and stays"):
            await files.remove(connection, number, shows.id, actor="anna", now=desk.now)
        await checklists.untick(connection, number, 2, actor="anna", now=desk.now)
        await files.remove(connection, number, shows.id, actor="anna", now=desk.now)
        assert await files.list_attachments(connection, number) == []


def turn_in_a_process(url: str, at: str) -> int:
    async def run() -> int:
        async with await Database.open(url) as database:
            desk = Desk(database, datetime.fromisoformat(at))
            await desk.load()
            await desk.rounds.turn()
            async with database.connect() as connection:
                return await connection.scalar(select(func.count()).select_from(maintenance_rounds)) or 0

    return asyncio.run(run())


@pytest.mark.slow
async def test_two_processes_open_a_round_once(desk: Desk, database_url: str) -> None:
    await desk.plan()
    calls = [(database_url, local(6).isoformat())] * 3
    assert await asyncio.to_thread(race, turn_in_a_process, calls) == [1, 1, 1]
    assert len(await desk.tickets()) == 1


def a_plan(recurrence: str, starts: datetime, created_at: datetime) -> Plan:
    names = dict.fromkeys(Plan.__annotations__)
    values = names | {"starts_local": starts, "time_zone": "Europe/Amsterdam", "recurrence": recurrence}
    return Plan(**(values | {"created_at": created_at, "checklist": (Step("x", "x"),)}))  # type: ignore[arg-type] # the rest is not asked


@given(
    st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYDAY=2SU", "FREQ=MONTHLY;BYMONTHDAY=31"]),
    st.integers(0, 14),
    st.lists(st.integers(1, 24 * 40), min_size=1, max_size=12),
)
def test_whenever_it_is_looked_at_each_round_opens_once_or_is_told_as_missed(
    recurrence: str, lead_days: int, waits: list[int]
) -> None:
    plan = a_plan(recurrence, datetime(2026, 3, 1, 2, 30), START)  # noqa: DTZ001 - the clock on the wall
    now, latest = START, None
    handled: list[datetime] = []
    for hours in waits:
        now += timedelta(hours=hours)
        found = due(plan, latest, timedelta(days=lead_days), now)
        assert len(found.to_open) <= 2 and found.next_look > now
        handled += [*found.missed, *found.to_open]
        latest = max([*found.to_open, *([latest] if latest else [])], default=None)
    assert handled == sorted(set(handled))
    past = rounds_between(plan, START, now + timedelta(microseconds=1))
    assert [one for one in handled if one <= now] == past
    assert len([one for one in handled if one > now]) <= 1


def test_tasks_of_the_providers_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / OWN_NAME).write_text("dusting: {title: {nl: Stof, en: Dust}, checklist: [{nl: Zuigen, en: Hoover}]}\n")
    tasks = load_maintenance_tasks(folder)
    assert [*tasks][-1] == "dusting" and tasks["dusting"].checklist[0].nl == "Zuigen"
    (folder / OWN_NAME).write_text("dusting: {title: {nl: Stof}, checklist: [], lead_day: 3}\n")
    with pytest.raises(AgreementFileError) as caught:
        load_maintenance_tasks(folder)
    assert all(place in str(caught.value) for place in ("title.en", "dusting.checklist", "dusting.lead_day"))


def test_what_the_shipped_models_maintain_are_tasks() -> None:
    assert {task for model in MODELS.values() for task in model.maintained} <= TASKS.keys()


async def test_rounds_are_in_no_count_of_alerts(desk: Desk) -> None:
    await opened(desk)
    async with desk.database.connect() as connection:
        totals = await count_totals(connection)
        recent = await tickets.ROWS.recent(connection, ["acme"], START - timedelta(days=1))
        keys = await tickets.open_by_key(connection, {"acme/customer/maintenance"})
    assert (totals.tickets, totals.tickets_opened) == ({}, {("acme",): 0})
    assert totals.alerts == {} and totals.shadow_tickets_opened == {("acme",): 0}
    assert (recent, keys) == ({}, {})  # what makes a storm, and what an alert joins
