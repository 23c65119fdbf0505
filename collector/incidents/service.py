"""From alerts to incidents: what holds them back, storms, flapping, and the contract decide, and each decision is
stored with its reason.

Everything happens inside the transaction of the evaluation that changed the alerts, so that after a crash there is
neither an alert without its ticket nor a second ticket for the same incident.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.durations import duration_text
from collector.alerting.evaluation import Transition
from collector.alerting.records import AlertMark, AlertRecord, AlertState, Outcome
from collector.alerting.ruleset import AlertRule, severity_of
from collector.alerting.state import Change
from collector.alerting.succession import Move, successors
from collector.alerting.thresholds import Effective
from collector.contracts import AlertOutcome
from collector.incidents.decision import may_have_ticket, ticket_key
from collector.incidents.ending import GONE, end, resolve, settle_unstable
from collector.incidents.plan_change import promote_all
from collector.incidents.round import AT_ONCE, Round, Surroundings

logger = logging.getLogger(__name__)

WITHOUT_TICKET = (Outcome.SUPPRESSED, Outcome.ASKED, Outcome.DECLINED, Outcome.NONE)
TWO_FRAMES = timedelta(seconds=150)  # at their longest distance, 120 s, and some for the way


@dataclass(frozen=True, slots=True)
class Incidents:
    """`threshold_of` tells what a device is measured by: by the threshold's name, the device and a time."""

    world: Surroundings
    threshold_of: Callable[[str, str, datetime], Effective | None]
    # By unknown alert, since when its device reports again. A restart begins anew, which only waits longer.
    back_since: dict[int, datetime] = field(default_factory=dict)

    async def move(self, connection: AsyncConnection, moves: Sequence[Move], now: datetime) -> None:
        """Alerts of rules that were changed go on under other labels, with their ticket."""
        if not moves:
            return
        round_ = Round(self.world, connection, now)
        taken = await records.find_open(connection, [(one.rule.key, one.new) for one in moves])
        await resolve(round_, list(taken.values()), "its rule was changed, and another alert stands for it")
        known = await records.find_open(connection, [(one.rule.key, one.old) for one in moves])
        worse: list[AlertRecord] = []
        for one in moves:
            if (record := known.get((one.rule.key, one.old))) is not None:
                _carry_over(round_, record, one)
                if severity_of(one.labels) is not severity_of(record.labels):
                    worse.append(replace(record, labels=one.labels))
        await round_.write()
        await round_.raise_priorities(worse)

    async def apply(self, connection: AsyncConnection, transitions: Sequence[Transition], now: datetime) -> None:
        """What one evaluation changed, or an external ruler told."""
        if not transitions:
            return
        by_mark = {(one.rule.key, one.fingerprint): one for one in transitions}
        known = await records.find_open(connection, by_mark)
        started = {mark: one for mark, one in by_mark.items() if Change.STARTED in one.changes}
        known |= await self._resumed_after_edit(
            connection, [one for mark, one in started.items() if mark not in known], now
        )
        resumed = {mark: known[mark] for mark in started if mark in known}
        fresh = [one for mark, one in started.items() if mark not in resumed]
        rows = (
            [_row(one, now) for one in fresh]
            if len(fresh) <= AT_ONCE
            else await asyncio.to_thread(lambda: [_row(one, now) for one in fresh])
        )
        known |= await records.insert_alerts(connection, rows)
        round_ = Round(self.world, connection, now)
        for mark, record in resumed.items():  # unknown so far: the same incident goes on, with its ticket
            alert = by_mark[mark].alert
            version = by_mark[mark].rule.version
            round_.change(
                record, state=AlertState.PENDING, rule_version=version, value=_stored(alert.value), not_seen_since=None
            )
        await round_.write()
        ended: dict[str, list[AlertRecord]] = {}
        for record in _changed(by_mark, known, Change.RESOLVED, Change.DROPPED):
            ended.setdefault(by_mark[record.rule_key, record.fingerprint].why or GONE, []).append(record)
        for why, records_of in ended.items():
            await end(round_, records_of, why)
        known |= await records.find_open(connection, resumed)
        new = {(one.rule.key, one.fingerprint) for one in fresh}
        fired = _changed(by_mark, known, Change.FIRED)
        current = []
        for number, record in enumerate(fired, start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # pushes come first
            mark = record.rule_key, record.fingerprint
            alert = by_mark[mark].alert
            current.append(replace(record, value=alert.value, annotations=dict(alert.annotations)))
            if mark in new:
                continue  # it was stored so
            round_.change(
                record,
                state=AlertState.FIRING,
                value=_stored(alert.value),
                annotations=dict(alert.annotations),
                fired_at=record.fired_at or now,
            )
        await round_.write()  # first, so that what fires in this pass holds back what it explains
        evidence: dict[int, Mapping[str, object]] = {}
        for number, one in enumerate(fired, start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            evidence[one.id] = self._evidence(by_mark[one.rule_key, one.fingerprint], now)
        beyond = [one.id for one in fired if by_mark[one.rule_key, one.fingerprint].is_over_limit]
        await round_.judge(current, evidence, over_limit=beyond)

    async def _resumed_after_edit(
        self, connection: AsyncConnection, started: Sequence[Transition], now: datetime
    ) -> dict[AlertMark, AlertRecord]:
        """The unknown alerts of rules that were changed meanwhile which are seen again, under other labels."""
        by_rule: dict[str, list[Transition]] = {}
        for one in started:
            by_rule.setdefault(one.rule.key, []).append(one)
        found: dict[AlertMark, AlertRecord] = {}
        if not by_rule:
            return found
        round_ = Round(self.world, connection, now)
        unknown = await records.open_alerts(connection, list(by_rule), state=AlertState.UNKNOWN)
        for key, of_rule in by_rule.items():
            rule = of_rule[0].rule
            stale = {one.id: one for one in unknown if one.rule_key == key and one.rule_version != rule.version}
            starting = {one.fingerprint: one.alert.labels for one in of_rule}
            ending = {number: record.labels for number, record in stale.items()}
            for number, mark in successors(rule, ending, starting).items():
                record = stale[number]
                _carry_over(round_, record, Move(rule, record.fingerprint, mark, starting[mark]))
                found[key, mark] = replace(record, fingerprint=mark, rule=rule.alert, labels=starting[mark])
        await round_.write()
        return found

    async def sweep(
        self,
        connection: AsyncConnection,
        rules: Sequence[AlertRule],
        now: datetime,
        *,
        is_untold: Callable[[str, Mapping[str, str]], bool] = lambda _rule_key, _labels: False,
    ) -> None:
        """`sweep_keys` for alerts of rules that are evaluated here."""
        waits = {rule.key: TWO_FRAMES if rule.plan.looks_back else timedelta(0) for rule in rules}
        await self.sweep_keys(connection, waits, now, is_untold=is_untold)

    async def sweep_keys(
        self,
        connection: AsyncConnection,
        waits: Mapping[str, timedelta],
        now: datetime,
        *,
        is_untold: Callable[[str, Mapping[str, str]], bool] = lambda _rule_key, _labels: False,
    ) -> None:
        """What changed without a change of the alerts of these rules: unknown ones whose device is seen again without
        the condition are over, and so are those of devices that nobody looks after any more; what has no ticket is
        decided again, since what held it back may be over and the plan may be another; shadow tickets of customers
        whose plan opens tickets by now become tickets; and what came and went has been steady for a while.

        `waits`: by rule key, how long a device must report again until its silence about the condition tells that it is
        gone. `is_untold`: whether nobody knows if the condition of a rule is gone for an alert, by rule key and labels.
        """
        round_ = Round(self.world, connection, now)
        rule_keys = list(waits)
        unknown = await records.open_alerts(connection, rule_keys, state=AlertState.UNKNOWN)
        ended, over = [], []
        for one in unknown:
            if one.device is not None and self.world.is_ended(one.device, now):
                ended.append(one)
            elif not is_untold(one.rule_key, one.labels) and self._is_told_over(one, now, waits[one.rule_key]):
                over.append(one)
        if ended:
            await resolve(round_, ended, "the device is no longer looked after")
        if over:
            await resolve(round_, over, "seen again, and the condition is gone")
        without = await records.open_alerts(connection, rule_keys, state=AlertState.FIRING, outcomes=WITHOUT_TICKET)
        await round_.judge([one for one in without if may_have_ticket(one.labels)], {})
        for customer in await records.customers_with_firing_shadows(connection, rule_keys):
            model = self.world.model_of(customer, now)
            if model is not None and model.on_alert is AlertOutcome.TICKET:
                firing = await records.firing_shadows(connection, rule_keys, customer)
                await promote_all(round_, connection, firing, model, now)
        await settle_unstable(round_)

    async def retire(self, connection: AsyncConnection, gone: Sequence[AlertRecord], now: datetime) -> None:
        """Alerts whose rule is no longer loaded are over: nothing would ever resolve them."""
        await resolve(Round(self.world, connection, now), gone, "the rule is no longer loaded")

    def _is_told_over(self, record: AlertRecord, now: datetime, wait: timedelta) -> bool:
        """Whether an alert that was unknown is known to be over: its device has reported again for so long."""
        if record.device is None:
            return True
        if not self._reported(record.device, now):
            self.back_since.pop(record.id, None)
            return False
        since = self.back_since.setdefault(record.id, now)
        if now - since < wait:
            return False
        self.back_since.pop(record.id, None)
        return True

    def _reported(self, device: str, now: datetime) -> bool:
        """Whether this evaluation could see what the device says: what came in since its instant it could not."""
        heard = self.world.last_heard(device)
        return self.world.is_seen(device, now) and (heard is None or heard <= now)

    def _evidence(self, transition: Transition, now: datetime) -> Mapping[str, object]:
        """What a decision was made by: the rule's version, the value, and the thresholds with who set them."""
        device = transition.alert.labels.get("device_id", "")
        thresholds = [
            {"name": name, "value": found.value, "set_by": found.set_by}
            for name in sorted(transition.rule.thresholds)
            if (found := self.threshold_of(name, device, now)) is not None
        ]
        return {
            "rule_version": transition.rule.version,
            "value": _finite(transition.alert.value),
            "thresholds": thresholds,
        }


def _carry_over(round_: Round, record: AlertRecord, move: Move) -> None:
    rule = move.rule
    changed = {"rule": rule.alert, "rule_version": rule.version, "labels": dict(move.labels)}
    round_.change(record, fingerprint=move.new, **changed)
    round_.explain(record, record.outcome, f"goes on: the rule was changed, and is {rule.alert} now")


def _row(transition: Transition, now: datetime) -> dict[str, object]:
    """Of an alert that has begun; without `for` it fires at once."""
    alert, rule = transition.alert, transition.rule
    fires = Change.FIRED in transition.changes
    return {
        "rule_key": rule.key,
        "fingerprint": transition.fingerprint,
        "rule": rule.alert,
        "rule_version": rule.version,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": AlertState.FIRING if fires else AlertState.PENDING,
        "value": _stored(alert.value),
        "active_since": alert.active_since,
        "fired_at": now if fires else None,
        "customer": alert.labels.get("customer"),
        "device": alert.labels.get("device_id"),
        "outcome": Outcome.NONE,
        "reason": f"pending: fires when it has held for {duration_text(rule.hold_for)}",
        "ticket_key": str(ticket_key(alert.labels)),
    }


def _changed(
    transitions: Mapping[AlertMark, Transition], known: Mapping[AlertMark, AlertRecord], *wanted: Change
) -> list[AlertRecord]:
    found = []
    for mark, transition in transitions.items():
        if not any(change in wanted for change in transition.changes):
            continue
        if mark in known:
            found.append(known[mark])
        else:
            logger.error("an alert changed that was never stored: rule=%s", transition.rule.alert)
    return found


def _stored(value: float) -> float | None:
    """An external ruler tells no value, which is NaN in memory."""
    return None if math.isnan(value) else value


def _finite(value: float) -> float | str:
    """JSON has neither infinity nor NaN."""
    return value if value - value == 0 else str(value)
