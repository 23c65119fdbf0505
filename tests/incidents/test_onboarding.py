"""A customer is taken on: the steps of its plan are one ticket with a checklist, when the contract has begun."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import contracts, devices, onboardings
from collector.db.tables import tickets as all_tickets
from collector.desk import checklists, technicians, tickets
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.maintenance import MaintenanceError, Round, get_round
from collector.desk.onboarding import Onboarding
from collector.desk.reading import Ticket, list_tickets
from collector.desk.reported import Report, open_reported
from collector.desk.states import TicketStatus
from collector.desk.technicians import add_technician
from collector.fleet.agreements import Agreement
from collector.fleet.contracts import add_contract, change_contract, end_contract
from collector.fleet.presence import Presence
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token
from collector.fleet.users import Profile, add_user
from collector.incidents import by_hand
from collector.incidents.onboarding import OnboardingError, Onboardings, onboard
from collector.reporting.totals import count_totals
from tests.fleet.world import ACTOR, MODELS, NOW, World, after, make_customer, make_token, request

STEPS = [(step.nl, step.en) for step in MODELS["monthly"].onboarding]


@dataclass
class Desk:
    database: Database
    now: datetime = NOW

    async def onboard(self, contract: int, models: Any = MODELS) -> Onboarding:
        async with self.database.begin() as connection:
            return await onboard(connection, models, contract, actor=ACTOR, now=self.now)

    async def turn(self, models: ServiceModels = MODELS, **later: float) -> list[Ticket]:
        self.now += timedelta(**later)
        await Onboardings(self.database, models, lambda: self.now).turn()
        async with self.database.connect() as connection:
            return await list_tickets(connection)

    async def round(self, ticket: int) -> Round:
        async with self.database.connect() as connection:
            return await get_round(connection, ticket)


@pytest.fixture
async def desk(database: Database) -> Desk:
    async with database.begin() as connection:
        await make_customer(connection)
    return Desk(database)


@pytest.fixture
def later() -> Iterator[dict[str, Any]]:
    """A contract that begins in ten days, after the first one has ended."""
    yield {"customer": "acme", "plan": "managed", "valid_from": after(days=10), "valid_to": None, "consent": None}


async def agree(desk: Desk, wanted: dict[str, Any]) -> int:
    async with desk.database.begin() as connection:
        await end_contract(connection, 1, ends_at=after(days=10), actor=ACTOR, now=NOW)
        made = await add_contract(connection, MODELS, agreement=Agreement(), actor=ACTOR, now=NOW, **wanted)
        return made.id


async def test_a_contract_that_holds_has_its_ticket_at_once(desk: Desk) -> None:
    made = await desk.onboard(1)
    assert made.ticket is not None
    (ticket,) = await desk.turn()
    assert (ticket.number, ticket.customer, ticket.kind, ticket.source, ticket.status) == (
        made.ticket,
        "acme",
        TicketKind.MAINTENANCE,
        TicketSource.PLAN,
        TicketStatus.NEW,
    )
    assert ticket.title == "Monthly service: in gebruik nemen / onboarding"
    found = await desk.round(made.ticket)
    assert ([(one.nl, one.en) for one in found.checklist], found.plan) == (STEPS, None)
    async with desk.database.connect() as connection:
        (record,) = await audit.latest(connection, 1)
        assert (record.action, record.subject) == ("contracts.onboard", "1")
        assert (await count_totals(connection)).tickets == {}  # as rounds of maintenance


async def test_it_is_done_when_its_checklist_is(desk: Desk) -> None:
    number = (await desk.onboard(1)).ticket
    assert number is not None
    async with desk.database.begin() as connection:
        with pytest.raises(MaintenanceError, match="is not over: 1 Intake"):
            await by_hand.resolve(connection, number, cause=None, solution=None, without=True, actor=ACTOR, now=NOW)
        for item in range(1, len(STEPS)):
            await checklists.tick(connection, number, item, evidence="done", actor=ACTOR, now=NOW)
        await checklists.leave_out(connection, number, None, reason="has begun", actor=ACTOR, now=NOW)
        await by_hand.resolve(connection, number, cause=None, solution=None, without=True, actor=ACTOR, now=NOW)
        told = [one.type for one in await tickets.history(connection, number)]
    assert told.count("checklist") == len(STEPS)
    assert (await desk.round(number)).left == []


async def seen(desk: Desk, ticket: int) -> dict[str, str | None]:
    """What shows that a step is done, by its English name, of those that are over after a turn."""
    await desk.turn(minutes=1)
    return {one.en: one.evidence for one in (await desk.round(ticket)).checklist if one.is_over}


async def enrolled(desk: Desk, presence: Presence) -> str:
    async with desk.database.begin() as connection:
        device = (await World().enrollment.enroll(connection, request(await make_token(connection)), NOW)).device_id
        await connection.execute(update(devices).where(devices.c.id == device).values(presence=presence))
    return device


async def test_what_is_seen_done_ticks_itself(desk: Desk) -> None:
    number = (await desk.onboard(1)).ticket
    assert number is not None
    assert await seen(desk, number) == {}
    device = await enrolled(desk, Presence.NEVER_SEEN)
    async with desk.database.begin() as connection:
        signed = {"changes": {"signed_on": date(2026, 2, 27)}, "starts_at": desk.now, "actor": ACTOR, "now": desk.now}
        await change_contract(connection, MODELS, 1, **signed)  # type: ignore[arg-type] # as named
    assert await seen(desk, number) == {"Agree on the SLA": "contract 2 was signed on 2026-02-27"}
    async with desk.database.begin() as connection:
        await connection.execute(update(devices).where(devices.c.id == device).values(presence=Presence.ONLINE))
        await checklists.untick(connection, number, 3, actor=ACTOR, now=desk.now)  # not the SLA that they want
    assert await seen(desk, number) == {"Continuous monitoring": "1 device, and it reports"}
    async with desk.database.connect() as connection:
        ticked = [one for one in await tickets.history(connection, number) if one.type == "checklist"]
    assert [one.actor for one in ticked] == ["system", ACTOR, "system"]


async def test_the_first_problem_of_who_pays_by_the_hour_ticks_what_becomes_of_it(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection, "bob", "break_fix")
        await add_user(
            connection, "piet", Profile(name="Piet", role=Role.CONTACT, customer="bob"), actor=ACTOR, now=NOW
        )
    desk = Desk(database)
    number = (await desk.onboard(1)).ticket
    assert number is not None
    async with database.begin() as connection:
        await open_reported(connection, Report("bob", "till"), actor=ACTOR, now=after(minutes=1))
        await create_access_token(
            connection, role=Role.CONTACT, customer=None, site=None, user="piet", actor=ACTOR, now=NOW
        )
        await add_technician(connection, "anna", technicians.Profile("anna"), actor=ACTOR, now=NOW)
        await connection.execute(update(all_tickets).where(all_tickets.c.number == number + 1).values(assignee="anna"))
    assert await seen(desk, number) == {
        "Ticketing access": "a contact has access",
        "Technician assigned": f"ticket {number + 1} is assigned",
    }
    async with database.begin() as connection:
        await by_hand.resolve(connection, number + 1, cause="paper", solution="a roll", actor=ACTOR, now=desk.now)
        await checklists.leave_out(connection, number, 5, reason="not ours", actor=ACTOR, now=desk.now)
    done = await seen(desk, number)
    assert done["Report on cause and solution"] == f"ticket {number + 1} tells cause and solution"
    assert done["Problem solved"] is None  # as it was left out


async def test_one_that_is_to_come_opens_once_when_it_has_begun(desk: Desk, later: dict[str, Any]) -> None:
    made = await desk.onboard(await agree(desk, later))
    assert (made.ticket, made.begins_at) == (None, after(days=10))
    assert await desk.turn(days=9) == []
    (ticket,) = await desk.turn(days=1, minutes=1)
    assert ticket.title.startswith("Managed services:")
    assert len(await desk.turn(minutes=1)) == 1
    with pytest.raises(OnboardingError, match=f"already, by ticket {ticket.number}"):
        await desk.onboard(2)


async def test_once_for_each_customer_and_plan(desk: Desk) -> None:
    await desk.onboard(1)
    async with desk.database.begin() as connection:
        asked = {"changes": {"number": "2026-18"}, "starts_at": after(days=1), "actor": ACTOR, "now": NOW}
        other = await change_contract(connection, MODELS, 1, **asked)  # type: ignore[arg-type] # as named
    with pytest.raises(OnboardingError, match="under plan monthly already"):
        await desk.onboard(other.id)
    assert len(await desk.turn(days=2)) == 1
    with pytest.raises(OnboardingError, match="it is contract 2 that holds now"):
        await desk.onboard(1)


async def test_what_never_comes_to_hold_is_called_off(desk: Desk, later: dict[str, Any]) -> None:
    contract = await agree(desk, later)
    await desk.onboard(contract)
    async with desk.database.begin() as connection:
        await end_contract(connection, contract, ends_at=after(days=10), actor=ACTOR, now=NOW)
    assert await desk.turn(days=11) == []
    async with desk.database.connect() as connection:
        assert list(await connection.execute(select(onboardings.c.customer))) == []
    with pytest.raises(OnboardingError, match=f"contract {contract} is over"):
        await desk.onboard(contract)


async def test_a_plan_without_steps_takes_nobody_on(desk: Desk) -> None:
    plain = {**MODELS, "monthly": MODELS["monthly"].model_copy(update={"onboarding": ()})}
    with pytest.raises(OnboardingError, match="plan monthly names no steps"):
        await desk.onboard(1, plain)


BY_ITSELF: ServiceModels = {
    name: model.model_copy(update={"onboards_by_itself": True}) for name, model in MODELS.items()
}


async def test_a_new_customer_is_taken_on_by_itself_where_the_model_says_so(desk: Desk) -> None:
    assert await desk.turn() == []
    (ticket,) = await desk.turn(BY_ITSELF, minutes=1)
    assert (ticket.customer, ticket.kind) == ("acme", TicketKind.MAINTENANCE)
    assert await desk.turn(BY_ITSELF, minutes=1) == [ticket]
    async with desk.database.connect() as connection:
        (record,) = await audit.latest(connection, 1)
        assert (record.actor, record.action, record.subject) == ("system", "contracts.onboard", "1")


@pytest.mark.parametrize("began", ["before it was entered", "long ago", "not yet"])
async def test_a_customer_of_long_standing_is_not(database: Database, began: str) -> None:
    desk = Desk(database)
    starts = {"before it was entered": after(days=-1), "long ago": NOW, "not yet": after(days=1)}[began]
    async with database.begin() as connection:
        await make_customer(connection)
        await connection.execute(update(contracts).values(valid_from=starts))
    assert await desk.turn(BY_ITSELF, days=8 if began == "long ago" else 0) == []
    if began == "not yet":
        assert len(await desk.turn(BY_ITSELF, days=1)) == 1


async def test_the_next_contract_of_a_customer_takes_nobody_on(desk: Desk, later: dict[str, Any]) -> None:
    await agree(desk, later)
    assert [one.customer for one in await desk.turn(BY_ITSELF)] == ["acme"]
    assert len(await desk.turn(BY_ITSELF, days=11)) == 1
