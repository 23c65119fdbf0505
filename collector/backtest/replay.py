"""One set of rules over a stretch of the past, through the very incident path that serves."""

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting import replay as rule_replay
from collector.alerting.evaluation import Transition
from collector.alerting.ruleset import AlertRule, Group, RuleSet
from collector.alerting.state import Alert, Change, Phase
from collector.alerting.timeline import Episode
from collector.db.tables import alerts, shadow_tickets, ticket_events
from collector.db.tables import tickets as tickets_table
from collector.desk import shadows, tickets
from collector.desk.incident_names import STORM
from collector.incidents.service import Incidents
from collector.promql import Engine

MAX_EPISODES = 200_000
SWEEP_EVERY = timedelta(minutes=5)  # while something is held back, unknown or unstable
ENTRIES = (tickets_table, shadow_tickets)
AT_ONCE = 50  # events between two turns of the event loop
RULES_AT_ONCE = 2  # in threads: DuckDB and NumPy leave each other the processor's cores

Progress = Callable[[str], None]
# What rules did over one stretch with the same thresholds, by their text: rules that stand in both sets are replayed
# once.
Known = dict[tuple[str, timedelta], list[Episode]]


class TooManyAlertsError(Exception):
    """The rules would fire so often that a backtest of them has no end; the message names the worst."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A ticket, or a shadow ticket, over time."""

    customer: str
    device: str | None
    title: str
    is_shadow: bool
    is_storm: bool
    opened_at: datetime
    resolved_at: datetime | None


@dataclass(slots=True)
class Outcome:
    """What one set of rules would have done, by customer."""

    alerts: Counter[str] = field(default_factory=Counter)  # that fired
    without: Counter[str] = field(default_factory=Counter)  # of them, those that came to no ticket and no shadow ticket
    reopened: Counter[str] = field(default_factory=Counter)
    bars: list[Bar] = field(default_factory=list)
    # By rule the series that it reads, its file would record, and history lacks: recording rules are not replayed.
    unrecorded: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def tickets(self, customer: str) -> int:
        return sum(not bar.is_shadow for bar in self.bars if bar.customer == customer)

    def shadows(self, customer: str) -> int:
        return sum(bar.is_shadow for bar in self.bars if bar.customer == customer)


async def episodes_of(
    rules: Sequence[tuple[Group, AlertRule]],
    engine: Engine,
    *,
    start: datetime,
    end: datetime,
    step: timedelta,
    is_wanted: Callable[[Episode], bool],
    progress: Progress,
    known: Known,
) -> list[Episode]:
    """What the rules did, evaluated every `step`. Raises PromqlError and TooManyAlertsError."""
    new: dict[tuple[str, timedelta], tuple[int, Group, AlertRule]] = {}
    for number, (group, rule) in enumerate(rules, start=1):
        if _text(group, rule) not in known:
            new.setdefault(_text(group, rule), (number, group, rule))
    turn = asyncio.Semaphore(RULES_AT_ONCE)
    failures: list[Exception] = []

    async def replayed(number: int, group: Group, rule: AlertRule) -> None:
        async with turn:
            if failures:
                return
            progress(f"rule {number} of {len(rules)}: {rule.alert}")
            one_by_one = rule_replay.episodes(rule, group, engine, interval=step, start=start, end=end)
            try:
                known[_text(group, rule)] = await asyncio.to_thread(_bounded, one_by_one, is_wanted)
            except Exception as error:  # noqa: BLE001 - it is raised when nobody reads the samples any more
                failures.append(error)

    await asyncio.gather(*(replayed(*one) for one in new.values()))
    if failures:
        raise failures[0]
    found: list[Episode] = []
    for group, rule in rules:
        found += [replace(one, rule=rule) for one in known[_text(group, rule)]]
        if len(found) > MAX_EPISODES:
            raise TooManyAlertsError(f"{rule.alert} fires too often: more than {MAX_EPISODES} alerts in all")
    return found


def _text(group: Group, rule: AlertRule) -> tuple[str, timedelta]:
    return rule.version, group.query_offset


def _bounded(replayed: Iterator[Episode], is_wanted: Callable[[Episode], bool]) -> list[Episode]:
    fired = (one for one in replayed if one.fired_at is not None and is_wanted(one))
    return list(itertools.islice(fired, MAX_EPISODES + 1))


async def judge(
    connection: AsyncConnection,
    incidents: Incidents,
    rules: RuleSet,
    found: Sequence[Episode],
    end: datetime,
    *,
    plan_changes: Iterable[datetime],
) -> Outcome:
    """Takes what the rules did through silences, windows, inhibition, storms, flapping and the contracts, instant by
    instant, and tells what came of it. `plan_changes`: when a customer's plan became another."""
    events = [(at, number, one) for number, one in enumerate(found) for at in (one.fired_at, one.ended_at) if at]
    heapq.heapify(events)
    first = events[0][0] if events else end
    changes = deque(sorted({at for at in plan_changes if first < at <= end}))
    sweep_at: datetime | None = None
    count = 0
    while True:
        at = events[0][0] if events and events[0][0] <= end else None
        due = min(filter(None, (sweep_at, changes[0] if changes else None)), default=None)
        if due is not None and due <= end and (at is None or due < at):
            await incidents.sweep(connection, rules.alert_rules, due)
            while changes and changes[0] <= due:
                changes.popleft()
            sweep_at = due + SWEEP_EVERY if await _is_unsettled(connection) else None
            continue
        if at is None:
            break
        transitions = []
        while events and events[0][0] == at:
            _, _, one = heapq.heappop(events)
            transitions.append(_transition(one, at))
        # Ends first: a label set may end and begin at one instant.
        for some in (Change.RESOLVED, Change.FIRED):
            await incidents.apply(connection, [one for one in transitions if some in one.changes], at)
        if sweep_at is None and await _is_unsettled(connection):
            sweep_at = at + SWEEP_EVERY
        count += 1
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)
    return await _told(connection)


def _transition(one: Episode, at: datetime) -> Transition:
    alert = Alert(one.labels, Phase.FIRING, one.active_since, one.value, one.annotations, one.fired_at)
    changes = (Change.STARTED, Change.FIRED) if at == one.fired_at else (Change.RESOLVED,)
    return Transition(one.rule, one.fingerprint, alert, changes)


async def _is_unsettled(connection: AsyncConnection) -> bool:
    """Whether time alone may change something: what is held back or unknown, or comes and goes. What a plan leaves
    alone changes with the plan only."""
    waits = or_(alerts.c.outcome == records.Outcome.SUPPRESSED, alerts.c.state == records.AlertState.UNKNOWN)
    unsettled = or_(
        exists().where(alerts.c.resolved_at.is_(None), waits),
        *(exists().where(table.c.resolved_at.is_(None), table.c.unstable_since.is_not(None)) for table in ENTRIES),
    )
    return bool(await connection.scalar(select(unsettled)))


async def _told(connection: AsyncConnection) -> Outcome:
    outcome = Outcome()
    for row in await connection.execute(select(alerts.c.customer, alerts.c.ticket, alerts.c.shadow_ticket)):
        outcome.alerts[row.customer or ""] += 1
        outcome.without[row.customer or ""] += row.ticket is None and row.shadow_ticket is None
    of_ticket = {one.number: one for one in await tickets.list_tickets(connection)}
    for event in await connection.execute(select(ticket_events.c.ticket, ticket_events.c.data)):
        if event.data.get("reason") == "the fault is back":
            outcome.reopened[of_ticket[event.ticket].customer] += 1
    for one in of_ticket.values():
        outcome.bars.append(
            Bar(
                one.customer,
                one.device,
                one.title,
                is_shadow=False,
                is_storm=one.incident == STORM,
                opened_at=one.opened_at,
                resolved_at=one.resolved_at,
            )
        )
    for shadow in await shadows.list_shadows(connection):
        outcome.bars.append(
            Bar(
                shadow.customer,
                shadow.device,
                shadow.title,
                is_shadow=True,
                is_storm=shadow.incident == STORM,
                opened_at=shadow.would_have_opened_at,
                resolved_at=shadow.resolved_at,
            )
        )
    outcome.bars.sort(key=lambda bar: bar.opened_at)
    return outcome
