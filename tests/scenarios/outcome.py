"""What came of a story: tickets and shadow tickets as the database has them, and whether they are the expected ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import EPOCH
from collector.desk.fields import TicketSource
from collector.desk.shadows import list_shadows
from collector.desk.states import TicketStatus
from collector.desk.tickets import history, list_tickets
from tests.scenarios.moments import Window
from tests.scenarios.story import Expected, ShadowExpected, TicketExpected

TIMES = ("opened", "began", "resolved")
BY_HAND = (TicketSource.PERSON, TicketSource.CUSTOMER)


@dataclass(frozen=True, slots=True)
class TicketSeen:
    number: int
    key: str
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    status: str
    priority: str
    opened: datetime
    began: datetime
    resolved: datetime | None
    reopened: int
    follows: bool
    touched: bool
    assignee: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class ShadowSeen:
    number: int
    key: str
    customer: str
    device: str | None
    incident: str
    rule: str
    open: bool
    priority: str
    opened: datetime
    began: datetime
    resolved: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    tickets: list[TicketSeen]
    shadows: list[ShadowSeen]

    @classmethod
    async def read(cls, connection: AsyncConnection) -> Self:
        tickets = []
        for ticket in await list_tickets(connection):
            moves = [event.data for event in await history(connection, ticket.number) if event.type == "status"]
            reopened = sum(
                move["from"] == TicketStatus.RESOLVED and move["to"] != TicketStatus.CLOSED for move in moves
            )
            seen = TicketSeen(
                number=ticket.number,
                key=ticket.title if ticket.source in BY_HAND else ticket.key,  # theirs are made up anew in each run
                customer=ticket.customer,
                site=ticket.site,
                device=ticket.device,
                incident=ticket.incident,
                rule=ticket.rule,
                title=ticket.title,
                status=ticket.status,
                priority=ticket.priority,
                opened=ticket.opened_at,
                began=ticket.began_at,
                resolved=ticket.resolved_at,
                reopened=reopened,
                follows=ticket.follows is not None,
                touched=ticket.touched,
                assignee=ticket.assignee,
                kind=ticket.kind,
            )
            tickets.append(seen)
        shadows = [
            ShadowSeen(
                number=shadow.id,
                key=shadow.key,
                customer=shadow.customer,
                device=shadow.device,
                incident=shadow.incident,
                rule=shadow.rule,
                open=shadow.resolved_at is None,
                priority=shadow.priority,
                opened=shadow.would_have_opened_at,
                began=shadow.began_at,
                resolved=shadow.resolved_at,
            )
            for shadow in await list_shadows(connection)
        ]
        return cls(
            sorted(tickets, key=lambda one: (one.opened, one.key)),
            sorted(shadows, key=lambda one: (one.opened, one.key)),
        )

    def problems(self, expected: Expected, zone: ZoneInfo, interval: timedelta, tolerance: timedelta) -> list[str]:
        """Where it is not as expected; `tolerance` is how much later than expected something may be."""

        def holds(name: str, wanted: object, seen: object) -> bool:
            if name in TIMES:
                at = seen if isinstance(seen, datetime) else None
                return Window.parse(str(wanted), zone, interval).holds(at, tolerance)
            return str(wanted) in str(seen) if name == "title" else wanted == seen

        def fits(wanted: TicketExpected | ShadowExpected, seen: TicketSeen | ShadowSeen) -> bool:
            named = wanted.model_dump(exclude_none=True)
            return all(holds(name, value, getattr(seen, name)) for name, value in named.items())

        return [
            *_unlike("tickets", expected.tickets, self.tickets, fits, zone),
            *_unlike("shadow tickets", expected.shadows, self.shadows, fits, zone),
        ]

    def differences(self, other: "Outcome", tolerance: timedelta) -> list[str]:
        """Where another run of the same story came out otherwise: the same but for times, which may be a little off."""
        found = []
        for what, ours, theirs in (("ticket", self.tickets, other.tickets), ("shadow", self.shadows, other.shadows)):
            if len(ours) != len(theirs):
                found.append(f"{len(ours)} {what}s without a kill, {len(theirs)} with")
                continue
            found += [
                f"{what} {one.key}: {name} {one_value} without a kill, {another_value} with"
                for one, another in zip(_by_key(ours), _by_key(theirs), strict=True)
                for name, one_value, another_value in _pairs(one, another)
                if not _same(name, one_value, another_value, tolerance)
            ]
        return found

    def told(self, zone: ZoneInfo) -> str:
        """For people, one line each."""
        lines = [*(_told(one, zone) for one in self.tickets), *(_told(one, zone) for one in self.shadows)]
        return "\n".join(lines) or "no tickets, no shadow tickets"


def _unlike(
    what: str, wanted: Sequence[Any], seen: Sequence[Any], fits: Callable[[Any, Any], bool], zone: ZoneInfo
) -> list[str]:
    problems = []
    if len(wanted) != len(seen):
        problems.append(f"expected {len(wanted)} {what}, there are {len(seen)}")
    left = list(seen)
    # The most particular expectation chooses first, so that a vague one does not take its ticket away.
    for one in sorted(wanted, key=lambda one: -len(one.model_dump(exclude_none=True))):
        found = next((candidate for candidate in left if fits(one, candidate)), None)
        if found is None:
            problems.append(f"none of the {what} is {one.model_dump(exclude_defaults=True)}")
        else:
            left.remove(found)
    if problems:
        problems += [f"  not expected: {_told(one, zone)}" for one in left]
    return problems


def _by_key(seen: Sequence[Any]) -> list[Any]:
    return sorted(seen, key=lambda one: (one.key, one.number))


def _pairs(one: Any, another: Any) -> list[tuple[str, object, object]]:
    fields: Mapping[str, object] = asdict(another)
    return [(name, value, fields[name]) for name, value in asdict(one).items() if name not in ("number", "title")]


def _same(name: str, one: object, another: object, tolerance: timedelta) -> bool:
    if name in TIMES and isinstance(one, datetime) and isinstance(another, datetime):
        return abs(one - another) <= tolerance
    return one == another


def _told(seen: TicketSeen | ShadowSeen, zone: ZoneInfo) -> str:
    words = []
    for name, value in asdict(seen).items():
        if isinstance(value, datetime) and value > EPOCH:
            words.append(f"{name}={value.astimezone(zone):%a %Y-%m-%d %H:%M:%S}")
        elif value not in (None, False) and name != "key":
            words.append(f"{name}={value}")
    return " ".join(words)
