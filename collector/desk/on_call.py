"""Who answers when nobody is at work: shifts, and rotas that hand over at a local time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from itertools import cycle, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import on_call
from collector.desk.technicians import Absence, NoTechnicianError, TechnicianError, list_absences, require_active
from collector.desk.working_hours import Span, at_local

MAX_TURNS = 366


@dataclass(frozen=True, slots=True)
class Shift:
    id: int
    technician: str
    starts_at: datetime
    ends_at: datetime
    author: str

    @property
    def span(self) -> Span:
        return Span(self.starts_at, self.ends_at)


@dataclass(frozen=True, slots=True)
class Rota:
    """In turns of `days` days from `first_day` on, handed over at `hand_over` by the clock of `time_zone`."""

    technicians: tuple[str, ...]
    first_day: date
    days: int
    turns: int
    hand_over: time
    time_zone: str

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Each turn. It lasts until the next begins, also over a change of summer time. Raises TechnicianError."""
        try:
            zone = ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise TechnicianError(
                f"there is no time zone {self.time_zone[:80]!r}; name one like Europe/Amsterdam"
            ) from error
        if not (self.technicians and 1 <= self.turns <= MAX_TURNS and 1 <= self.days <= MAX_TURNS):
            raise TechnicianError(f"a rota has technicians and 1 to {MAX_TURNS} turns of 1 to {MAX_TURNS} days")
        minute = self.hand_over.hour * 60 + self.hand_over.minute
        days = (self.first_day + timedelta(days=self.days * turn) for turn in range(self.turns + 1))
        changes = [at_local(zone, day, minute) for day in days]
        for technician, (start, end) in zip(cycle(self.technicians), pairwise(changes), strict=False):
            yield technician, Span(start, end)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where shifts leave nobody, and where two hold at once."""

    gaps: tuple[Span, ...]
    overlaps: tuple[tuple[Shift, Shift], ...]


def coverage(shifts: Sequence[Shift]) -> Coverage:
    """Between the first beginning and the last end. An overlap is told for shifts that follow each other in order of
    their beginning, as long as the earlier one lasts."""
    gaps: list[Span] = []
    overlaps: list[tuple[Shift, Shift]] = []
    longest: Shift | None = None
    for shift in sorted(shifts, key=lambda one: (one.starts_at, one.id)):
        if longest is not None and shift.starts_at > longest.ends_at:
            gaps.append(Span(longest.ends_at, shift.starts_at))
        elif longest is not None and shift.starts_at < longest.ends_at:
            overlaps.append((longest, shift))
        if longest is None or shift.ends_at > longest.ends_at:
            longest = shift
    return Coverage(tuple(gaps), tuple(overlaps))


def uncovered(span: Span, shifts: Sequence[Shift]) -> list[Span]:
    """The parts of `span` in which nobody is on call."""
    left, at = [], span.starts_at
    for shift in sorted(shifts, key=lambda one: one.starts_at):
        if shift.span.overlaps(span):
            if shift.starts_at > at:
                left.append(Span(at, shift.starts_at))
            at = max(at, shift.ends_at)
    return [*left, Span(at, span.ends_at)] if at < span.ends_at else left


def unanswered(shifts: Sequence[Shift], away: Sequence[Absence]) -> list[tuple[Shift, Span]]:
    """The parts of shifts in which who is on call is absent, in the order of the shifts."""
    return [
        (shift, Span(max(shift.starts_at, one.starts_at), min(shift.ends_at, one.ends_at)))
        for shift in shifts
        for one in away
        if one.technician == shift.technician and one.span.overlaps(shift.span)
    ]


@dataclass(frozen=True, slots=True)
class Roster:
    """Shifts in the order in which they begin, and what is amiss with them."""

    shifts: list[Shift]
    coverage: Coverage
    unanswered: list[tuple[Shift, Span]]


async def roster(connection: AsyncConnection, now: datetime, *, everything: bool = False) -> Roster:
    """Of all shifts that are not over, or of all there have been. Absences that are over leave nothing unanswered."""
    shifts = await list_shifts(connection, not_over_at=None if everything else now)
    away = await list_absences(connection, not_over_at=now)
    return Roster(shifts, coverage(shifts), unanswered(shifts, away))


async def left_unanswered(connection: AsyncConnection, absence: Absence, *, now: datetime) -> list[tuple[Shift, Span]]:
    """The parts of the technician's shifts that fall in an absence, in their order; without shifts that are over."""
    since = max(absence.starts_at, now)
    shifts = await list_shifts(connection, technician=absence.technician, not_over_at=since, starts_by=absence.ends_at)
    return unanswered(shifts, [absence])


async def add_shift(connection: AsyncConnection, technician: str, span: Span, *, actor: str, now: datetime) -> int:
    """The id of the new shift. Raises NoTechnicianError or TechnicianError."""
    (number,) = await _add(connection, [(technician, span)], actor=actor, now=now)
    data = {"id": number, "from": span.starts_at.isoformat(), "until": span.ends_at.isoformat()}
    await audit.record(connection, actor=actor, action="technicians.on-call", subject=technician, now=now, data=data)
    return number


async def add_rota(connection: AsyncConnection, rota: Rota, *, actor: str, now: datetime) -> list[int]:
    """The ids of its shifts. Raises NoTechnicianError or TechnicianError, and adds nothing then."""
    turns = list(rota.spans())
    numbers = await _add(connection, turns, actor=actor, now=now)
    data = {
        "technicians": list(rota.technicians),
        "from": turns[0][1].starts_at.isoformat(),
        "until": turns[-1][1].ends_at.isoformat(),
        "days": rota.days,
    }
    await audit.record(connection, actor=actor, action="technicians.rota", subject="on-call", now=now, data=data)
    return numbers


async def remove_shift(connection: AsyncConnection, shift: int, *, actor: str, now: datetime) -> None:
    """Raises NoTechnicianError."""
    row = (await connection.execute(_SHIFTS.where(on_call.c.id == shift))).one_or_none()
    if row is None:
        raise NoTechnicianError(f"there is no shift {shift}; see: technicians on-call list")
    found = Shift(*row)
    await connection.execute(delete(on_call).where(on_call.c.id == shift))
    data = {"id": shift, "from": found.starts_at.isoformat(), "until": found.ends_at.isoformat()}
    await audit.record(
        connection, actor=actor, action="technicians.on-call-remove", subject=found.technician, now=now, data=data
    )


async def list_shifts(
    connection: AsyncConnection,
    *,
    shift: int | None = None,
    technician: str | None = None,
    not_over_at: datetime | None = None,
    starts_by: datetime | None = None,
) -> list[Shift]:
    """In the order in which they begin: those that end after `not_over_at` and begin by `starts_by`."""
    query = _SHIFTS.order_by(on_call.c.starts_at, on_call.c.id)
    if shift is not None:
        query = query.where(on_call.c.id == shift)
    if technician is not None:
        query = query.where(on_call.c.technician == technician)
    if not_over_at is not None:
        query = query.where(on_call.c.ends_at > not_over_at)
    if starts_by is not None:
        query = query.where(on_call.c.starts_at <= starts_by)
    return [Shift(*row) for row in await connection.execute(query)]


async def shifts_after(
    connection: AsyncConnection, after: int | None, limit: int, *, not_over_at: datetime
) -> list[Shift]:
    """`limit` at most, by number: those beyond `after` that end after a time."""
    query = _SHIFTS.where(on_call.c.ends_at > not_over_at)
    if after is not None:
        query = query.where(on_call.c.id > after)
    return [Shift(*row) for row in await connection.execute(query.order_by(on_call.c.id).limit(limit))]


_SHIFTS = select(*(on_call.c[one.name] for one in fields(Shift)))


async def _add(
    connection: AsyncConnection, turns: Sequence[tuple[str, Span]], *, actor: str, now: datetime
) -> list[int]:
    for technician in sorted({technician for technician, _ in turns}):
        await require_active(connection, technician)
    for _, span in turns:
        if span.ends_at <= span.starts_at:
            raise TechnicianError("a shift ends after it begins")
        if span.ends_at <= now:
            raise TechnicianError(f"the shift until {span.ends_at:%Y-%m-%d %H:%M} UTC is over: begin later")
    rows = [
        {"technician": technician, "starts_at": span.starts_at, "ends_at": span.ends_at, "author": actor[:200]}
        for technician, span in turns
    ]
    added = await connection.execute(insert(on_call).returning(on_call.c.id, sort_by_parameter_order=True), rows)
    return list(added.scalars())
