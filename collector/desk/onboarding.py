"""Taking customers on, as the database keeps it: for each customer and service model one ticket with its steps."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Integer, bindparam, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.db.inserts import insert_if_absent
from collector.db.tables import contracts, customers, onboardings, tickets
from collector.desk import events
from collector.desk.events import SYSTEM, EventType
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.incident_names import ONBOARDING
from collector.desk.maintenance import Step
from collector.desk.opening import NewTicket, insert_open_all
from collector.desk.states import TicketStatus


@dataclass(frozen=True, slots=True)
class Onboarding:
    """`ticket` None: it has not begun."""

    customer: str
    model: str
    begins_at: datetime
    ticket: int | None
    title: str


async def add(
    connection: AsyncConnection, wanted: Onboarding, steps: Sequence[Step], *, author: str
) -> tuple[Onboarding, bool]:
    """The one of its customer and model, and whether that is new."""
    row = asdict(wanted) | {"checklist": [asdict(one) for one in steps], "author": author[:200]}
    is_new = await insert_if_absent(connection, onboardings, row)
    return await _read(connection, wanted.customer, wanted.model), is_new


async def due(connection: AsyncConnection, now: datetime, limit: int) -> list[Onboarding]:
    """Those that should have begun, and have no ticket; `limit` at most, the earliest first."""
    return [Onboarding(*row) for row in await connection.execute(_DUE, {"now": now, "limit": limit})]


async def in_hand(connection: AsyncConnection) -> list[tuple[Onboarding, list[tuple[int, Step]]]]:
    """Those whose ticket is open, with what the collector may yet see done: items by their number from 1."""
    query = (
        select(*_ALL.selected_columns, onboardings.c.checklist)
        .join(tickets, tickets.c.number == onboardings.c.ticket)
        .where(tickets.c.resolved_at.is_(None))
        .order_by(onboardings.c.customer, onboardings.c.model)
    )
    found = []
    for *fields, checklist in await connection.execute(query):
        steps = [(number, Step(**one)) for number, one in enumerate(checklist, start=1)]
        waiting = [(number, step) for number, step in steps if step.seen is not None and not step.is_over]
        if waiting:
            found.append((Onboarding(*fields), waiting))
    return found


async def begun_with(
    connection: AsyncConnection, plans: Collection[str], since: datetime, now: datetime, limit: int
) -> list[int]:
    """Contracts under some plans that customers begin with: the first of each, begun since a time and not before the
    customer was entered, that holds and has no onboarding; `limit` at most, the earliest first."""
    earlier, known = contracts.alias(), onboardings
    is_first = ~exists().where(
        earlier.c.customer == contracts.c.customer, earlier.c.valid_from < contracts.c.valid_from
    )
    is_asked = exists().where(known.c.customer == contracts.c.customer, known.c.model == contracts.c.plan)
    query = (
        select(contracts.c.id)
        .join(customers, customers.c.id == contracts.c.customer)
        .where(contracts.c.plan.in_(plans), contracts.c.valid_from > since, contracts.c.valid_from <= now)
        .where(contracts.c.valid_from >= customers.c.created_at, customers.c.ended_at.is_(None))
        .where(or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > now), is_first, ~is_asked)
        .order_by(contracts.c.valid_from, contracts.c.id)
        .limit(limit)
    )
    return list(await connection.scalars(query))


async def call_off(connection: AsyncConnection, wanted: Onboarding) -> None:
    """One that has no ticket."""
    is_it = (onboardings.c.customer == wanted.customer, onboardings.c.model == wanted.model)
    await connection.execute(delete(onboardings).where(*is_it, onboardings.c.ticket.is_(None)))


async def open_ticket(connection: AsyncConnection, wanted: Onboarding, now: datetime) -> int | None:
    """The number of its ticket, which opens now; None if another process opened it before."""
    new = NewTicket(
        key=f"{wanted.customer}/onboarding:{wanted.model}",
        customer=wanted.customer,
        site=None,
        device=None,
        incident=ONBOARDING,
        rule=ONBOARDING,
        title=wanted.title,
        priority=Priority.P3,
        began_at=min(wanted.begins_at, now),
    )
    kind, source = TicketKind.MAINTENANCE, TicketSource.PLAN
    opened = await insert_open_all(
        connection, tickets, [new], status=TicketStatus.NEW, opened_at=now, kind=kind, source=source
    )
    if new.key not in opened:
        return None
    number = opened[new.key]
    is_it = (onboardings.c.customer == wanted.customer, onboardings.c.model == wanted.model)
    await connection.execute(update(onboardings).where(*is_it).values(ticket=number))
    data = {"priority": new.priority, "follows": None, "kind": kind, "source": source}
    await events.add(connection, number, EventType.OPENED, data, actor=SYSTEM, now=now)
    return number


async def _read(connection: AsyncConnection, customer: str, model: str) -> Onboarding:
    is_it = (onboardings.c.customer == customer, onboardings.c.model == model)
    return Onboarding(*(await connection.execute(_ALL.where(*is_it))).one())


_ALL = select(*(onboardings.c[name] for name in Onboarding.__annotations__))
_DUE = (
    _ALL.where(onboardings.c.ticket.is_(None), onboardings.c.begins_at <= bindparam("now"))
    .order_by(onboardings.c.begins_at)
    .limit(bindparam("limit", type_=Integer))
)
