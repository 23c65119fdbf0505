"""What was wrong and what was done about it, which is asked for when a person resolves a ticket."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import tickets
from collector.desk import events
from collector.desk.editing import get_changeable
from collector.desk.events import EventType
from collector.desk.fields import TicketError, checked_text


@dataclass(frozen=True, slots=True)
class Texts:
    """The long fields of a ticket."""

    description: str | None
    cause: str | None
    solution: str | None


async def texts_of(connection: AsyncConnection, number: int) -> Texts:
    query = select(tickets.c.description, tickets.c.cause, tickets.c.solution).where(tickets.c.number == number)
    return Texts(*(await connection.execute(query)).one())


async def write_solution(
    connection: AsyncConnection,
    number: int,
    *,
    cause: str | None,
    solution: str | None,
    without: bool = False,
    actor: str,
    now: datetime,
) -> None:
    """Both are asked for; what was written before may stay (None). `without`: the person says that there is nothing to
    write down, and that is recorded. Raises TicketError."""
    await get_changeable(connection, number)
    was = await texts_of(connection, number)
    cause = was.cause if cause is None else checked_text("a cause", cause)
    solution = was.solution if solution is None else checked_text("a solution", solution)
    missing = [name for name, text in (("cause", cause), ("solution", solution)) if text is None]
    if missing and not without:
        raise TicketError(
            f"ticket {number} has no {' and no '.join(missing)} yet: say what was wrong and what was done (--cause, "
            "--solution), or that there is nothing to say (--without)"
        )
    if (cause, solution) == (was.cause, was.solution) and not missing:
        return
    values = {"cause": cause, "solution": solution}
    await connection.execute(update(tickets).where(tickets.c.number == number).values(values))
    data = values | ({"without": True} if missing else {})
    await events.add(connection, number, EventType.SOLUTION, data, actor=actor, now=now)
