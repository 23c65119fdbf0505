"""What a ticket has to do with others: merged, linked, part of; devices and watchers."""

from typing import Annotated, Any

from pydantic import Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.shapes import Id, Number
from collector.api.desk.tickets import ONE, OtherTicket, TicketInFull, TicketNumber, found_ticket, shown
from collector.desk import editing, links
from collector.desk.fields import MAX_DEVICES
from collector.desk.links import LinkKind
from collector.desk.reported import sites_of
from collector.incidents import by_hand


class Merging(Request):
    into: Number = Field(description="The ticket that goes on for both.")


class Linking(Request):
    other: Number
    kind: Annotated[LinkKind, Field(strict=False, description="What the other is to this one.")] = LinkKind.RELATED


class Parent(Request):
    parent: Number | None = Field(description="The greater ticket that this one is part of; null: none.")


class Devices(Request):
    add: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES)
    remove: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES)


class Watching(Request):
    watcher: str = Field(min_length=1, max_length=254, description="A technician's id, or a mail address.")


class Watcher(TicketNumber):
    watcher: str = Field(min_length=1, max_length=254)


async def merge_ticket(call: Call[TicketNumber, Merging]) -> TicketInFull:
    """Answers with the ticket that was merged."""
    number, into = call.params.number, call.body.into
    await _both(call, number, into)
    await by_hand.merge(call.connection, number, into, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def link_ticket(call: Call[TicketNumber, Linking]) -> TicketInFull:
    number, asked = call.params.number, call.body
    await _both(call, number, asked.other)
    await links.link(call.connection, number, asked.other, asked.kind, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def unlink_ticket(call: Call[OtherTicket, None]) -> TicketInFull:
    number, other = call.params.number, call.params.other
    await _both(call, number, other)
    await links.unlink(call.connection, number, other, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def set_ticket_parent(call: Call[TicketNumber, Parent]) -> TicketInFull:
    number, parent = call.params.number, call.body.parent
    await _both(call, number, number if parent is None else parent)
    await links.set_parent(call.connection, number, parent, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def change_ticket_devices(call: Call[TicketNumber, Devices]) -> TicketInFull:
    number, asked = call.params.number, call.body
    ticket = await found_ticket(call, number)
    at = await sites_of(call.connection, ticket.customer, asked.add)
    if any(call.caller.site not in (None, site) for site in at.values()):
        raise missing("such device")
    await editing.change_devices(
        call.connection, number, add=asked.add, remove=asked.remove, actor=call.caller.name, now=call.now
    )
    return await shown(call, number)


async def watch_ticket(call: Call[TicketNumber, Watching]) -> TicketInFull:
    number = call.params.number
    await found_ticket(call, number)
    await editing.watch(call.connection, number, call.body.watcher, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def unwatch_ticket(call: Call[Watcher, None]) -> TicketInFull:
    number = call.params.number
    await found_ticket(call, number)
    await editing.unwatch(call.connection, number, call.params.watcher, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def _both(call: Call[Any, Any], number: int, other: int) -> None:
    """Raises Refusal (404) unless the caller sees both."""
    for one in {number, other}:
        await found_ticket(call, one)


def operations() -> list[AnyOperation]:
    one = "/tickets/{number}"
    return [
        Operation(
            "POST",
            f"{one}/merge",
            "Merge it into another",
            TicketNumber,
            Merging,
            TicketInFull,
            merge_ticket,
            works_on=ONE,
        ),
        Operation(
            "POST", f"{one}/links", "Link two tickets", TicketNumber, Linking, TicketInFull, link_ticket, works_on=ONE
        ),
        Operation(
            "DELETE",
            f"{one}/links/{{other}}",
            "Take a link back",
            OtherTicket,
            None,
            TicketInFull,
            unlink_ticket,
            works_on=ONE,
        ),
        Operation(
            "PUT",
            f"{one}/parent",
            "Make it part of another",
            TicketNumber,
            Parent,
            TicketInFull,
            set_ticket_parent,
            works_on=ONE,
        ),
        Operation(
            "POST",
            f"{one}/devices",
            "Add and remove further devices",
            TicketNumber,
            Devices,
            TicketInFull,
            change_ticket_devices,
            works_on=ONE,
        ),
        Operation(
            "POST", f"{one}/watchers", "Watch it", TicketNumber, Watching, TicketInFull, watch_ticket, works_on=ONE
        ),
        Operation(
            "DELETE",
            f"{one}/watchers/{{watcher}}",
            "Watch no longer",
            Watcher,
            None,
            TicketInFull,
            unwatch_ticket,
            works_on=ONE,
        ),
    ]
