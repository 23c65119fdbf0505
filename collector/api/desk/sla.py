"""`/tickets/{number}/sla`: the clocks of a ticket, and every stretch of them."""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation
from collector.api.desk.tickets import TicketNumber
from collector.contracts import Priority
from collector.contracts.sla import Clock, ClockName, ClockState, lines_of
from collector.db.tables import tickets as table
from collector.desk.clock_reading import Promises, TicketClocks, clocks_now
from collector.desk.reading import list_tickets

MAX_LINES = 2_000  # of one clock: some eight years of office hours
SECOND = timedelta(seconds=1)


class ClockLine(BaseModel):
    start: datetime
    end: datetime
    why_not: str | None = Field(description="Why the time does not count; null: it does.")
    total_seconds: int = Field(description="What had counted at the end.")
    priority: Priority
    target_seconds: int | None = Field(description="What held then.")


class SlaClock(BaseModel):
    name: ClockName
    state: ClockState
    target_seconds: int | None = Field(description="Null: nothing is promised.")
    used_seconds: int
    due_at: datetime | None = Field(
        description="When the target is or was used up, if the clock runs on as it does; null while it stands still."
    )
    warned_at: datetime | None = Field(description="When the share for a warning was used up.")
    breached_at: datetime | None = Field(description="Stays, whatever is promised later.")
    met_at: datetime | None
    lines: list[ClockLine] = Field(description=f"Oldest first, the last {MAX_LINES}.")


class TicketSla(BaseModel):
    number: int
    as_of: datetime
    plan: str | None
    sla: str | None = Field(description="Null: nothing is promised.")
    support_level: str | None
    hours: str = Field(description="In which minutes count, by the time zone.")
    time_zone: str
    escalate_to: str | None
    clocks: list[SlaClock] = Field(description="Response and resolution.")


class SlaOperations:
    def __init__(self, promises: Promises) -> None:
        self._promises = promises

    async def get_ticket_sla(self, call: Call[TicketNumber, None]) -> TicketSla:
        number = call.params.number
        found = await list_tickets(call.connection, wanted=[table.c.number == number], limit=1)
        if not found or not call.caller.sees(found[0].customer, found[0].site):
            raise missing(f"ticket {number}")
        return sla_of(await clocks_now(call.connection, number, self._promises, call.now), call.now)

    def operations(self) -> list[AnyOperation]:
        return [
            Operation(
                "GET",
                "/tickets/{number}/sla",
                "The SLA clocks of a ticket, explained line by line",
                TicketNumber,
                None,
                TicketSla,
                self.get_ticket_sla,
            )
        ]


def sla_of(clocks: TicketClocks, now: datetime) -> TicketSla:
    terms = clocks.terms
    return TicketSla(
        number=clocks.number,
        as_of=now,
        plan=terms.plan,
        sla=terms.sla,
        support_level=terms.support_level,
        hours=terms.hours,
        time_zone=terms.time_zone,
        escalate_to=terms.escalate_to,
        clocks=[_told(clock) for clock in (clocks.response, clocks.resolution)],
    )


def _told(clock: Clock) -> SlaClock:
    lines = [
        ClockLine(
            start=line.start,
            end=line.end,
            why_not=line.why_not,
            total_seconds=line.total // SECOND,
            priority=line.priority,
            target_seconds=_seconds(line.target),
        )
        for line in lines_of(clock)
    ]
    return SlaClock(
        name=clock.name,
        state=clock.state,
        target_seconds=_seconds(clock.target),
        used_seconds=clock.used // SECOND,
        due_at=clock.due_at,
        warned_at=clock.warned_at,
        breached_at=clock.breached_at,
        met_at=clock.met_at,
        lines=lines[-MAX_LINES:],
    )


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else length // SECOND
