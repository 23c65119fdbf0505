"""One round of decisions: alerts that fire become tickets, all inside an evaluation's transaction. What becomes of
those that are over: `ending`."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.inhibit import InhibitRule
from collector.alerting.records import AlertRecord, AlertState, Outcome
from collector.alerting.ruleset import severity_of
from collector.contracts import Priority, ServiceModel, priority_of
from collector.contracts.scope import ContractScope
from collector.desk import tickets
from collector.desk.fields import category_of
from collector.desk.incident_names import STORM
from collector.desk.opening import NewTicket
from collector.incidents import orders, storms, waiting
from collector.incidents.decision import Circumstances, Decision, decide, held_back, ticket_key
from collector.incidents.inhibition import inhibitors_among
from collector.incidents.ledgers import LEDGERS, TICKETS, Ledger
from collector.incidents.open_windows import OpenWindows
from collector.incidents.reasons import Reason, record_reasons
from collector.incidents.settings import IncidentSettings
from collector.incidents.silences import silences_in_force

AT_ONCE = 100  # decisions between two turns of the event loop


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a round asks about the world outside the database."""

    model_of: Callable[[str, datetime], ServiceModel | None]  # a customer's service model at a time
    is_seen: Callable[[str, datetime], bool]  # whether a device's series are of now
    last_heard: Callable[[str], datetime | None]  # when it last pushed
    is_ended: Callable[[str, datetime], bool]  # whether a device, or its customer, is no longer looked after
    tags_of: Callable[[str], Collection[str]]  # the words that people gave a device
    inhibit_rules: Callable[[], Sequence[InhibitRule]]
    settings: IncidentSettings
    scope_of: Callable[[str, datetime], ContractScope | None] = lambda _customer, _at: None  # of its contract
    windows: OpenWindows = field(default_factory=OpenWindows)


@dataclass(frozen=True, slots=True)
class Case:
    """An alert whose decision asks for a ticket or a shadow ticket."""

    record: AlertRecord
    key: str
    priority: Priority
    decision: Decision


class Round:
    """Everything is written at once by `write`, which each step calls before it reads what it wrote."""

    def __init__(self, world: Surroundings, connection: AsyncConnection, now: datetime) -> None:
        self.world = world
        self.connection = connection
        self.now = now
        self._changes: dict[int, dict[str, object]] = {}
        self._reasons: list[Reason] = []
        self._lines: dict[int, list[AlertRecord]] = {}  # by ticket: what came to it that is to be ordered

    def change(self, record: AlertRecord, **values: object) -> None:
        """Columns of an alert, to be written."""
        self._changes.setdefault(record.id, {}).update(values)

    def explain(
        self, record: AlertRecord, outcome: Outcome, reason: str, data: Mapping[str, object] | None = None
    ) -> None:
        self._reasons.append(Reason(record.id, self.now, outcome, reason, data or {}))

    async def write(self) -> None:
        await records.update_alerts(self.connection, self._changes)
        await record_reasons(self.connection, self._reasons)
        self._changes, self._reasons = {}, []

    async def judge(
        self,
        fired: Sequence[AlertRecord],
        evidence: Mapping[int, Mapping[str, object]],
        *,
        over_limit: Collection[int] = (),
    ) -> None:
        """Decides about alerts that fire, all those of one pass together, and carries it out.

        `evidence`: by alert, what the record of its decision holds besides; `over_limit`: the alerts of rules that have
        more of them than their group's `limit`. One whose own ticket, or storm, is still open stays there; one that was
        held back and still is, is left as it is.
        """
        if not fired:
            return
        placed = await self._still_placed(fired)
        circumstances = await self._circumstances({one.labels.get("customer", "") for one in fired})
        cases: list[Case] = []
        asked: list[Case] = []  # what the plan leaves to a technician
        for number, record in enumerate(fired):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)  # pushes come first
            if record.id in placed:
                if record.id in evidence:
                    self.explain(record, record.outcome, "seen again with the fault", evidence[record.id])
                continue
            customer = record.labels.get("customer", "")
            model = self.world.model_of(customer, self.now) if customer else None
            scope = self.world.scope_of(customer, self.now) if customer else None
            decision = decide(record.labels, self.tags_of(record), model, circumstances, scope)
            seen = evidence.get(record.id, {})
            if record.outcome is Outcome.DECLINED and decision.outcome is Outcome.SUPPRESSED:
                continue  # a technician has decided, and there is nothing to hold back
            if decision.priority is not None and decision.outcome is Outcome.ASKED:
                asked.append(Case(record, str(ticket_key(record.labels)), decision.priority, decision))
                continue
            if decision.priority is None or decision.outcome not in (Outcome.TICKET, Outcome.SHADOW):
                if (record.outcome, record.reason) != (decision.outcome, decision.reason):
                    self.change(record, outcome=decision.outcome, reason=decision.reason, **TICKETS.placed_nowhere())
                    self.explain(record, decision.outcome, decision.reason, {**decision.data, **seen})
                continue
            cases.append(Case(record, str(ticket_key(record.labels)), decision.priority, decision))
        cases = await self._without_those_that_wait(cases)
        for case in cases:
            seen = evidence.get(case.record.id, {})
            self.explain(case.record, case.decision.outcome, case.decision.reason, {**case.decision.data, **seen})
        cases += await self._made_by_hand(asked, evidence)
        for ledger, by_customer in await self._by_ledger(cases):
            await self._place(ledger, by_customer, over_limit)
        await self.write()
        await self.tell_lines(added=self._lines)

    async def _without_those_that_wait(self, cases: list[Case]) -> list[Case]:
        """Those for which a ticket may open now; the others are held back until the next one may."""
        every = waiting.patient([(case.key, case.record.labels) for case in cases])
        if not every:
            return cases
        waits = {
            ledger.outcome: await waiting.waits(
                self.connection, ledger, every, self.now, self.world.settings.reopen_within
            )
            for ledger in LEDGERS
        }
        due = []
        for case in cases:
            wait = waits.get(case.decision.outcome, {}).get(case.key)
            if wait is None:
                due.append(case)
            elif (case.record.outcome, case.record.reason) != (Outcome.SUPPRESSED, wait.reason):
                self.change(case.record, outcome=Outcome.SUPPRESSED, reason=wait.reason, **TICKETS.placed_nowhere())
                self.explain(case.record, Outcome.SUPPRESSED, wait.reason, {"waits_for": wait.number})
        return due

    async def tell_lines(
        self, *, added: Mapping[int, list[AlertRecord]] = MappingProxyType({}), done: Sequence[AlertRecord] = ()
    ) -> None:
        """Writes anew what stands in tickets that order supplies."""
        over: dict[int, list[AlertRecord]] = {}
        for record in done:
            if record.ticket is not None and orders.is_line(record):
                over.setdefault(record.ticket, []).append(record)
        for number in sorted({*added, *over}):
            await orders.tell_lines(
                self.connection, number, self.now, added=added.get(number, ()), done=over.get(number, ())
            )
        self._lines = {}

    async def _made_by_hand(self, asked: Sequence[Case], evidence: Mapping[int, Mapping[str, object]]) -> list[Case]:
        """Those of the alerts that are left to a technician for which one has made a ticket; the others wait for one to
        decide, or were declined."""
        numbers = await tickets.open_by_key(self.connection, {case.key for case in asked})
        for case in asked:
            record, decision = case.record, case.decision
            if case.key not in numbers:
                is_declined = record.outcome is Outcome.DECLINED
                if is_declined or (record.outcome, record.reason) == (decision.outcome, decision.reason):
                    continue
                self.change(record, outcome=decision.outcome, reason=decision.reason, **TICKETS.placed_nowhere())
            self.explain(record, decision.outcome, decision.reason, {**decision.data, **evidence.get(record.id, {})})
        return [case for case in asked if case.key in numbers]

    async def held_back(self, fired: Sequence[AlertRecord]) -> set[int]:
        """The alerts, by id, that a silence, a window or another fault holds back now."""
        circumstances = await self._circumstances({one.labels.get("customer", "") for one in fired})
        return {one.id for one in fired if held_back(one.labels, self.tags_of(one), circumstances)}

    def tags_of(self, record: AlertRecord) -> Collection[str]:
        return self.world.tags_of(record.device) if record.device else ()

    async def _still_placed(self, fired: Sequence[AlertRecord]) -> set[int]:
        """The alerts, by id, that have a ticket or shadow ticket which is open."""
        known = [one for one in fired if one.ticket is not None or one.shadow_ticket is not None]
        still: set[int] = set()
        for ledger in LEDGERS:
            numbers = {number for one in known if (number := ledger.of(one)) is not None}
            open_ones = await ledger.rows.open_among(self.connection, numbers)
            still |= {one.id for one in known if ledger.of(one) in open_ones}
        return still

    async def _circumstances(self, customers: Collection[str]) -> Circumstances:
        rules = self.world.inhibit_rules()
        firing = (
            await records.open_alerts(self.connection, state=AlertState.FIRING, customers=customers) if rules else []
        )
        return Circumstances(
            self.now,
            await silences_in_force(self.connection, self.now),
            await self.world.windows.at(self.connection, self.now),
            inhibitors_among(firing, rules),
        )

    async def _by_ledger(self, cases: Sequence[Case]) -> list[tuple[Ledger, dict[str, list[Case]]]]:
        """By ledger and customer. What would be a shadow joins a ticket that is open for the same, from
        before the plan changed or made by hand: as a shadow it would let that ticket resolve while the fault is there.
        So does what is left to a technician, who made that ticket."""
        shadow_keys = {case.key for case in cases if case.decision.outcome is Outcome.SHADOW}
        open_tickets = await tickets.open_by_key(self.connection, shadow_keys)
        grouped: dict[Outcome, dict[str, list[Case]]] = {}
        for case in cases:
            is_joined = case.key in open_tickets or case.decision.outcome is Outcome.ASKED
            outcome = Outcome.TICKET if is_joined else case.decision.outcome
            grouped.setdefault(outcome, {}).setdefault(case.record.labels["customer"], []).append(case)
        return [(ledger, grouped[ledger.outcome]) for ledger in LEDGERS if ledger.outcome in grouped]

    async def _place(
        self, ledger: Ledger, by_customer: Mapping[str, Sequence[Case]], over_limit: Collection[int]
    ) -> None:
        """Finds a place for all cases: the open entry of their key, one of their own, or their customer's storm's.

        An order is no incident of a storm: it would stand there without its list, and be closed with the storm."""
        entries, settings = ledger.entries, self.world.settings
        by_key: dict[str, list[Case]] = {}
        for case in (one for cases in by_customer.values() for one in cases):
            by_key.setdefault(case.key, []).append(case)
        storm_keys = {customer: str(storms.storm_key(customer)) for customer in by_customer}
        opened = await entries.open_by_key(self.connection, {*by_key, *storm_keys.values()})
        new = {
            customer: list(dict.fromkeys(one.key for one in cases if one.key not in opened and not _is_order(one)))
            for customer, cases in by_customer.items()
        }
        with_new = {customer for customer, keys in new.items() if keys}
        since = self.now - settings.storm_within
        recent = await ledger.rows.recent(self.connection, with_new, since) if with_new else {}
        open_storms = {customer: opened[key] for customer, key in storm_keys.items() if key in opened}
        asked = {number for customer, number in open_storms.items() if customer in with_new}
        last_lines = await ledger.last_placed_at(self.connection, asked)
        into_storm: dict[str, storms.Course] = {}
        for customer in sorted(with_new):
            others = {
                key: number
                for key, number in recent.get(customer, {}).items()
                if key != storm_keys[customer] and not orders.is_order(key)
            }
            recent[customer] = others
            course = storms.course(
                new[customer],
                others,
                last_line_at=last_lines.get(open_storms.get(customer, 0)),
                limit_exceeded=any(one.record.id in over_limit and not _is_order(one) for one in by_customer[customer]),
                now=self.now,
                settings=settings,
            )
            if course is not storms.Course.EACH_ITS_OWN:
                into_storm[customer] = course
        lines = {key for customer in into_storm for key in new[customer]}
        own = {key: members for key, members in by_key.items() if key not in lines}
        wanted = [_wanted(members) for members in own.values()]
        numbers = await entries.join_or_open_all(self.connection, wanted, self.now, settings.reopen_within)
        for key, members in own.items():
            self._placed(ledger, members, numbers[key], None, is_new=key not in opened)
        for customer, course in into_storm.items():
            is_new = course is storms.Course.NEW_STORM
            children = [
                number for key, number in recent.get(customer, {}).items() if is_new and key not in new[customer]
            ]
            of_storm = [case for key in new[customer] for case in by_key[key]]
            await self.into_storm(ledger, customer, of_storm, children)

    async def into_storm(self, ledger: Ledger, customer: str, lines: Sequence[Case], children: Sequence[int]) -> None:
        wanted = NewTicket(
            key=str(storms.storm_key(customer)),
            customer=customer,
            site=_common([case.record.labels.get("site") for case in lines]),
            device=None,
            incident=STORM,
            rule=storms.most_common([case.record.rule for case in lines]),
            title=storms.title([case.record.rule for case in lines], len({case.key for case in lines})),
            priority=min(case.priority for case in lines),
            began_at=min(case.record.active_since for case in lines),
        )
        number = await ledger.entries.join_or_open(self.connection, wanted, self.now, self.world.settings.reopen_within)
        self._placed(
            ledger,
            lines,
            number,
            f"one of many at once, so it is a line of the storm, {ledger.word} {number}",
            is_new=True,
        )
        await ledger.entries.adopt(self.connection, children, number, self.now)
        await self.write()
        members = await ledger.open_members(self.connection, number)
        count = len({one.ticket_key for one in members})
        count += len(await ledger.rows.children(self.connection, number))
        await ledger.entries.retitle(self.connection, number, storms.title([one.rule for one in members], count))

    def _placed(self, ledger: Ledger, cases: Iterable[Case], number: int, why: str | None, *, is_new: bool) -> None:
        """`is_new`: they made the entry open or reopen, or are new lines of a storm."""
        for case in cases:
            reason = case.decision.reason
            if ledger.outcome is not case.decision.outcome:
                is_by_hand = case.decision.outcome is Outcome.ASKED
                since = "made by hand" if is_by_hand else "open since before the plan changed"
                reason = f"joins ticket {number}, {since}; {reason}"
            if why is not None:
                reason = f"{why}; {reason}"
            placed = {"placed_at": self.now} if is_new else {}
            self.change(case.record, outcome=ledger.outcome, reason=reason, **ledger.placed(number), **placed)
            self.explain(case.record, ledger.outcome, why or f"{ledger.word} {number}", {ledger.outcome: number})
            if ledger is TICKETS and orders.is_line(case.record):
                self._lines.setdefault(number, []).append(case.record)

    async def raise_priorities(self, changed: Sequence[AlertRecord]) -> None:
        """Entries of alerts that have become more severe are as urgent as these."""
        for ledger in LEDGERS:
            highest: dict[int, Priority] = {}
            for record in changed:
                number = ledger.of(record)
                model = self.world.model_of(record.labels.get("customer", ""), self.now)
                if number is None or model is None:
                    continue
                priority = priority_of(severity_of(record.labels), record.labels.get("kind", ""), model)
                highest[number] = min(priority, highest.get(number, priority))
            for number, priority in highest.items():
                await ledger.entries.raise_to(self.connection, number, priority, self.now, "its rule was changed")


def _wanted(members: Sequence[Case]) -> NewTicket:
    """The ticket for the alerts of one key: named by the first, as urgent as the most urgent."""
    first = members[0].record
    key = ticket_key(first.labels)
    return NewTicket(
        key=str(key),
        customer=key.customer,
        site=None if key.entity == "customer" else first.labels.get("site"),
        device=first.labels.get("device_id") if key.is_of_a_device else None,
        incident=key.incident,
        rule=first.rule,
        title=first.annotations.get("ticket_title") or first.annotations.get("summary") or first.rule,
        priority=min(case.priority for case in members),
        began_at=min(case.record.active_since for case in members),
        category=category_of(first.labels.get("category")),
    )


def _is_order(case: Case) -> bool:
    return orders.is_order(case.key)


def _common(values: Sequence[str | None]) -> str | None:
    """The value if all are the same."""
    return values[0] if len(set(values)) == 1 else None
