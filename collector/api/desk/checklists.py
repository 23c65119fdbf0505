"""`/tickets/{number}/checklist`: what a round of maintenance consists of, and what of it is done."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.shapes import Number
from collector.api.desk.tickets import TicketNumber, found_ticket
from collector.desk import checklists as store
from collector.desk.checklists import MAX_NOTE_CHARS
from collector.desk.maintenance import Round, find_round

Note = Annotated[str, Field(min_length=1, max_length=MAX_NOTE_CHARS)]


class ChecklistItem(BaseModel):
    item: int = Field(description="Its number, from 1.")
    nl: str
    en: str
    needs_evidence: bool
    done_at: datetime | None
    done_by: str | None
    note: str | None
    evidence: str | None = Field(description="What shows that it was done.")
    attachment: int | None = Field(description="The file beside the ticket that shows it.")
    left_out: str | None = Field(description="Why it is not done.")
    seen: str | None = Field(
        description="Of taking a customer on: what the collector waits for to tick it by itself; null: nothing."
    )


class Checklist(BaseModel):
    ticket: int
    plan: int | None = Field(description="The maintenance plan that it is a round of; null: of none.")
    due_at: datetime
    left: int = Field(description="Items that are neither done nor left out.")
    items: list[ChecklistItem]


class OneItem(TicketNumber):
    item: Number


class Tick(Request):
    note: Note | None = Field(default=None, description="What there is to say of it.")
    evidence: Note | None = Field(default=None, description="What shows that it was done.")
    attachment: Number | None = Field(default=None, description="A file beside the ticket that shows it.")


class LeavingOut(Request):
    reason: Note


async def get_checklist(call: Call[TicketNumber, None]) -> Checklist:
    return _told(await _found(call))


async def tick_item(call: Call[OneItem, Tick]) -> Checklist:
    asked = call.body
    await _found(call)
    return _told(
        await store.tick(
            call.connection,
            call.params.number,
            call.params.item,
            note=asked.note,
            evidence=asked.evidence,
            attachment=asked.attachment,
            actor=call.caller.name,
            now=call.now,
        )
    )


async def untick_item(call: Call[OneItem, None]) -> Checklist:
    await _found(call)
    number, item = call.params.number, call.params.item
    return _told(await store.untick(call.connection, number, item, actor=call.caller.name, now=call.now))


async def leave_out_item(call: Call[OneItem, LeavingOut]) -> Checklist:
    return await _left_out(call, call.params.item)


async def leave_out_rest(call: Call[TicketNumber, LeavingOut]) -> Checklist:
    return await _left_out(call, None)


async def _left_out(call: Call[Any, LeavingOut], item: int | None) -> Checklist:
    await _found(call)
    number, reason = call.params.number, call.body.reason
    return _told(
        await store.leave_out(call.connection, number, item, reason=reason, actor=call.caller.name, now=call.now)
    )


async def _found(call: Call[Any, Any]) -> Round:
    """Raises Refusal (404)."""
    number = call.params.number
    await found_ticket(call, number)
    found = await find_round(call.connection, number)
    if found is None:
        raise missing(f"checklist of ticket {number}")
    return found


def _told(found: Round) -> Checklist:
    return Checklist(
        ticket=found.ticket,
        plan=found.plan,
        due_at=found.due_at,
        left=len(found.left),
        items=[
            ChecklistItem(
                item=number,
                nl=one.nl,
                en=one.en,
                needs_evidence=one.needs_evidence,
                done_at=None if one.done_at is None else datetime.fromisoformat(one.done_at),
                done_by=one.done_by,
                note=one.note,
                evidence=one.evidence,
                attachment=one.attachment,
                left_out=one.left_out,
                seen=one.seen,
            )
            for number, one in enumerate(found.checklist, start=1)
        ],
    )


def operations() -> list[AnyOperation]:
    path = "/tickets/{number}/checklist"
    one: AnyOperation = Operation(
        "GET", path, "The checklist of a round of maintenance", TicketNumber, None, Checklist, get_checklist
    )
    return [
        one,
        Operation(
            "POST",
            f"{path}/{{item}}/tick",
            "An item is done",
            OneItem,
            Tick,
            Checklist,
            tick_item,
            works_on=one,
            description="What needs evidence is ticked with a text or a file that shows it.",
        ),
        Operation(
            "POST",
            f"{path}/{{item}}/untick",
            "It was a mistake: the item is to be done",
            OneItem,
            None,
            Checklist,
            untick_item,
            works_on=one,
        ),
        Operation(
            "POST",
            f"{path}/{{item}}/leave-out",
            "An item is not done, for a reason",
            OneItem,
            LeavingOut,
            Checklist,
            leave_out_item,
            works_on=one,
        ),
        Operation(
            "POST",
            f"{path}/leave-out",
            "All that is left is not done, for a reason",
            TicketNumber,
            LeavingOut,
            Checklist,
            leave_out_rest,
            works_on=one,
        ),
    ]
