"""What the SLA clocks of tickets are reckoned from, and where those of one ticket stand now."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from sqlalchemy import Text, case, cast, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.contracts.course import BREACHED, ESCALATED, READ_TYPES, TERMS, WARNED, Course, LoggedEvent, course_of
from collector.contracts.promises import Terms
from collector.contracts.scope import ContractScope
from collector.contracts.sla import Clock, clocks_of
from collector.db.tables import ticket_events, tickets
from collector.desk.events import EventType
from collector.desk.fields import TicketError, TicketKind

OWN_TYPES = (TERMS, WARNED, BREACHED, ESCALATED)


class Promises(Protocol):
    """What is promised to customers, by time."""

    def terms_of(self, customer: str, at: datetime) -> Terms: ...

    def scope_of(self, customer: str, at: datetime) -> ContractScope | None:
        """What of the customer that holds for; None: all."""
        ...

    def covers(self, customer: str, at: datetime, *, site: str | None, device: str | None) -> bool:
        """Whether it holds for a ticket about such a place."""
        ...

    def changes(self, customer: str, since: datetime, until: datetime) -> Sequence[datetime]:
        """When another contract began to hold, or none any more: after `since`, no later than `until`, in order."""
        ...


class TicketRow(Protocol):
    @property
    def customer(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def site(self) -> str | None: ...

    @property
    def device(self) -> str | None: ...

    @property
    def opened_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class TicketClocks:
    number: int
    course: Course
    response: Clock
    resolution: Clock

    @property
    def terms(self) -> Terms:
        """What is promised now."""
        return self.course.terms[-1][1] if self.course.terms else Terms()


async def clocks_now(connection: AsyncConnection, number: int, promises: Promises, now: datetime) -> TicketClocks:
    """The clocks as of now, also of a ticket that no sweep has come to yet; writes nothing. Raises TicketError."""
    row = (await connection.execute(TICKETS.where(tickets.c.number == number))).one_or_none()
    if row is None:
        raise TicketError(f"there is no ticket {number}; see: tickets list --all")
    _, happened = (await read_events(connection, [number])).get(number, (0, []))
    course = course_of(row.opened_at, Priority(row.priority), happened)
    list(new_terms(promises, row, course, now))
    return TicketClocks(number, course, *clocks_of(course, now))


def new_terms(promises: Promises, ticket: TicketRow, course: Course, now: datetime) -> Iterator[dict[str, object]]:
    """What was promised beside what the ticket has on record, and since when. Added to its course, too."""
    if course.is_over and course.terms:
        return  # if it reopens, what was promised until then is made up for
    until = course.statuses[-1][0] if course.is_over else now
    since, last = course.terms[-1] if course.terms else (ticket.opened_at, None)
    starts = [ticket.opened_at] if last is None else []
    starts += promises.changes(ticket.customer, since, until)
    if not course.is_over:
        starts.append(now)  # a file may have been edited
    for start in starts:
        terms = terms_for(promises, ticket, start)
        if terms == last:
            continue
        data = terms.data()
        yield data if last is None or start == now else data | {"from": start.isoformat()}
        course.terms.append((start, terms))
        last = terms


def terms_for(promises: Promises, ticket: TicketRow, at: datetime) -> Terms:
    """What is promised for a ticket: nothing for planned work, which has its own day and nobody waits for an answer,
    and for what the contract does not cover."""
    terms = promises.terms_of(ticket.customer, at)
    if terms.sla is None:
        return terms
    is_promised = ticket.kind != TicketKind.MAINTENANCE and promises.covers(
        ticket.customer, at, site=ticket.site, device=ticket.device
    )
    return terms if is_promised else Terms(terms.plan)


async def read_events(
    connection: AsyncConnection, numbers: Collection[int]
) -> dict[int, tuple[int, list[LoggedEvent]]]:
    """What clocks are reckoned from, by ticket, in order; with the id of the newest event that is not the clocks' own.

    Texts of comments and descriptions stay where they are; of comments it is read who at the customer said them, if it
    was the customer, and whether they are public."""
    rows = await connection.execute(_EVENTS.where(ticket_events.c.ticket.in_(numbers)))
    found: dict[int, tuple[int, list[LoggedEvent]]] = {}
    happened: list[LoggedEvent] = []
    of, last = None, 0  # the ticket whose rows come, and its newest event so far
    for event, number, at, actor, kind, data, is_public, contact in rows:
        if number != of:
            of, last, happened = number, 0, []
        if kind == TERMS:
            told, terms = decoded_terms(data)
            happened.append(LoggedEvent(at, actor, kind, told, terms))
        else:
            said = {"public": bool(is_public), "contact": contact} if data is None else _decoded(data)
            happened.append(LoggedEvent(at, actor, kind, said))
        last = last if kind in OWN_TYPES else event
        found[number] = (last, happened)
    return found


@lru_cache(maxsize=4096)
def _decoded(text: str) -> Mapping[str, object]:
    """Most events of one type say the same."""
    data: Mapping[str, object] = json.loads(text)
    return data


@lru_cache(maxsize=4096)
def decoded_terms(text: str) -> tuple[Mapping[str, object], Terms]:
    data = _decoded(text)
    return data, Terms.of_data(data)


TICKETS = select(
    tickets.c.number,
    tickets.c.customer,
    tickets.c.site,
    tickets.c.device,
    tickets.c.kind,
    tickets.c.priority,
    tickets.c.opened_at,
    tickets.c.due_at,
    tickets.c.escalated_to,
).order_by(tickets.c.number)
_IS_COMMENT = ticket_events.c.type == EventType.COMMENT
_HAS_TEXTS = ticket_events.c.type.in_((EventType.COMMENT, EventType.CHANGED))
_EVENTS = (
    select(
        ticket_events.c.id,
        ticket_events.c.ticket,
        ticket_events.c.at,
        ticket_events.c.actor,
        ticket_events.c.type,
        case((_HAS_TEXTS, null()), else_=cast(ticket_events.c.data, Text)),
        case((_IS_COMMENT, ticket_events.c.data["public"].as_boolean()), else_=null()),
        case((_IS_COMMENT, ticket_events.c.data["contact"].as_integer()), else_=null()),
    )
    .where(ticket_events.c.type.in_(READ_TYPES))
    .order_by(ticket_events.c.ticket, ticket_events.c.id)
)
