"""`/tickets/{number}/take`, `/assign`, `/hand-over`, `/assignment`: who works on a ticket."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.refusals import Refusal
from collector.api.desk.technicians import Slug
from collector.api.desk.tickets import ONE, TicketNumber
from collector.db.tables import tickets as table
from collector.desk import assigning as store
from collector.desk.agreed import agreed_about
from collector.desk.assigning import TakenError
from collector.desk.assignment import Verdict
from collector.desk.fields import MAX_TEXT_CHARS
from collector.desk.reading import list_tickets


class Taking(Request):
    technician: Slug = Field(description="Who takes it.")


class Assigning(Request):
    technician: Slug | None = Field(description="Null: nobody; it is in the queue again.")


class HandingOver(Request):
    technician: Slug
    note: str = Field(min_length=1, max_length=MAX_TEXT_CHARS, description="How things stand; an internal comment.")


class Assigned(BaseModel):
    number: int
    assignee: str | None
    lacks: str | None = Field(default=None, description="What the technician lacks for it by the rules of assignment.")


class Explained(BaseModel):
    """What would become of the ticket if it had to be assigned now."""

    number: int
    verdict: Verdict
    assignee: str | None
    reason: str
    until: datetime | None = Field(description="When whom it waits for is at work.")
    why_not: dict[str, str] = Field(description="By technician, what stands in the way.")


async def take_ticket(call: Call[TicketNumber, Taking]) -> Assigned:
    number, technician = call.params.number, call.body.technician
    await _require(call)
    try:
        await store.take(call.connection, number, technician, actor=call.caller.name, now=call.now)
    except TakenError as error:
        raise Refusal(409, "conflict", str(error)) from error
    return Assigned(number=number, assignee=technician)


async def assign_ticket(call: Call[TicketNumber, Assigning]) -> Assigned:
    number, technician = call.params.number, call.body.technician
    await _require(call)
    if technician is None:
        await store.release(call.connection, number, actor=call.caller.name, now=call.now)
        return Assigned(number=number, assignee=None)
    lacks = await store.assign(call.connection, number, technician, actor=call.caller.name, now=call.now)
    return Assigned(number=number, assignee=technician, lacks=lacks)


async def hand_over_ticket(call: Call[TicketNumber, HandingOver]) -> Assigned:
    number, asked = call.params.number, call.body
    await _require(call)
    lacks = await store.hand_over(
        call.connection, number, asked.technician, note=asked.note, actor=call.caller.name, now=call.now
    )
    return Assigned(number=number, assignee=asked.technician, lacks=lacks)


async def explain_assignment(call: Call[TicketNumber, None]) -> Explained:
    number = call.params.number
    await _require(call)
    if call.caller.customer is not None:
        raise Refusal(403, "forbidden", "who works when is the provider's: this takes a token of no customer")
    decision = await store.explain(call.connection, number, agreed_about, call.now)
    return Explained(
        number=number,
        verdict=decision.verdict,
        assignee=decision.assignee,
        reason=decision.why,
        until=decision.until,
        why_not=dict(decision.why_not),
    )


async def _require(call: Call[TicketNumber, Any]) -> None:
    """Raises Refusal (404) unless the caller sees the ticket."""
    number = call.params.number
    found = await list_tickets(call.connection, wanted=[table.c.number == number], limit=1)
    if not found:
        raise missing(f"ticket {number}")
    call.caller.require(f"ticket {number}", found[0].customer, found[0].site)


def operations() -> list[AnyOperation]:
    return [
        Operation(
            "GET",
            "/tickets/{number}/assignment",
            "Who would get the ticket now, and why nobody else",
            TicketNumber,
            None,
            Explained,
            explain_assignment,
        ),
        Operation(
            "POST",
            "/tickets/{number}/take",
            "Take a ticket that nobody has; 409 says who was first",
            TicketNumber,
            Taking,
            Assigned,
            take_ticket,
            works_on=ONE,
        ),
        Operation(
            "POST",
            "/tickets/{number}/assign",
            "Give a ticket to a technician, whoever had it, or back to the queue",
            TicketNumber,
            Assigning,
            Assigned,
            assign_ticket,
            works_on=ONE,
        ),
        Operation(
            "POST",
            "/tickets/{number}/hand-over",
            "Hand a ticket over, with a note",
            TicketNumber,
            HandingOver,
            Assigned,
            hand_over_ticket,
            works_on=ONE,
        ),
    ]
