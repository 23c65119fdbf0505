"""What becomes of alerts that are over, and with the last of them of their tickets; and of those not seen any more."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from collector.alerting import records
from collector.alerting.records import AlertRecord, AlertState, Outcome
from collector.desk import tickets
from collector.incidents import flapping
from collector.incidents.ledgers import LEDGERS, Ledger
from collector.incidents.round import AT_ONCE, Round

MAX_NAMED = 3  # devices in one note
GONE = "the condition is gone"


async def end(round_: Round, ended: Sequence[AlertRecord], why: str = GONE) -> None:
    """The condition is gone, or is only no longer reported: not seen is not healthy."""
    unseen = [one for one in ended if one.fired_at and one.device and not round_.world.is_seen(one.device, round_.now)]
    unseen_ids = {one.id for one in unseen}
    noted: dict[int, list[AlertRecord]] = {}
    for record in unseen:
        since = round_.world.last_heard(record.device or "") or round_.now
        round_.change(record, state=AlertState.UNKNOWN, not_seen_since=since)
        round_.explain(record, record.outcome, f"not seen since {since:%Y-%m-%d %H:%M} UTC, so not known to be over")
        if record.ticket is not None:
            noted.setdefault(record.ticket, []).append(record)
    for number, of_ticket in noted.items():
        await tickets.note(round_.connection, number, round_.now, _not_seen(round_, of_ticket))
    await resolve(round_, [one for one in ended if one.id not in unseen_ids], why)


async def resolve(round_: Round, over: Sequence[AlertRecord], why: str, at: datetime | None = None) -> None:
    """Alerts that are over, and with its last alert the entry. Those that never fired leave no trace."""
    await records.delete_alerts(round_.connection, [one.id for one in over if one.fired_at is None])
    settled: dict[Outcome, set[int]] = {ledger.outcome: set() for ledger in LEDGERS}
    for count, record in enumerate(over, start=1):
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)  # pushes come first
        if record.fired_at is None:
            continue
        reason = record.reason if why == GONE else f"{record.reason}; {why}"
        round_.change(record, state=AlertState.RESOLVED, resolved_at=at or round_.now, reason=reason)
        round_.explain(record, record.outcome, f"over: {why}")
        for ledger in LEDGERS:
            if (number := ledger.of(record)) is not None:
                settled[ledger.outcome].add(number)
    await round_.write()
    await round_.tell_lines(done=over)
    for ledger in LEDGERS:
        await _settle(round_, ledger, settled[ledger.outcome], was_earlier=at is not None)


async def _settle(round_: Round, ledger: Ledger, numbers: Collection[int], *, was_earlier: bool = False) -> None:
    """Resolves the entries with nothing open behind them, unless their fault comes and goes, and then the storms
    that they were the last of. `was_earlier`: they were over when their last alert was."""
    settings = round_.world.settings
    # A person may have merged them meanwhile.
    over = set((await ledger.entries.current(round_.connection, numbers)).values())
    over -= await ledger.with_open_members(round_.connection, over)
    over -= await ledger.rows.with_open_children(round_.connection, over)
    if not over:
        return
    changes = await ledger.changes_since(round_.connection, over, round_.now - settings.flap_within)
    unsteady = {number for number in over if flapping.comes_and_goes(changes.get(number, {}), settings)}
    lately = await ledger.changes_since(round_.connection, unsteady, round_.now - settings.steady_after)
    for number in sorted(unsteady):
        if not flapping.was_steady(lately.get(number, {})):
            why = flapping.unstable_reason(changes[number], settings)
            await ledger.entries.hold_open(round_.connection, number, round_.now, why)
            over.remove(number)
    since: dict[int, datetime | None] = dict.fromkeys(over)
    if was_earlier:
        since = {number: await ledger.last_resolved_at(round_.connection, number) for number in over}
    await _close(round_, ledger, since)


async def settle_unstable(round_: Round) -> None:
    """Entries whose fault has been steady for long enough get their true state."""
    since = round_.now - round_.world.settings.steady_after
    for ledger in LEDGERS:
        unstable = set(await ledger.rows.unstable(round_.connection))
        steady = unstable - (await ledger.changes_since(round_.connection, unstable, since)).keys()
        staying = await ledger.with_open_members(round_.connection, steady)
        for number in sorted(steady):
            why = "steady again: the fault stays" if number in staying else "steady again: the fault is gone"
            await ledger.entries.steady(round_.connection, number, round_.now, why)
        over = steady - staying
        over -= await ledger.rows.with_open_children(round_.connection, over)
        await _close(round_, ledger, dict.fromkeys(over))


async def _close(round_: Round, ledger: Ledger, over: Mapping[int, datetime | None]) -> None:
    """By number, since when they are over, if that is earlier than now."""
    if not over:
        return
    await ledger.entries.resolve_all(round_.connection, over, round_.now)
    parents = await ledger.rows.parents_of(round_.connection, over)
    if parents:
        await _settle(round_, ledger, parents)


def _not_seen(round_: Round, of_ticket: Sequence[AlertRecord]) -> str:
    since = min(round_.world.last_heard(one.device or "") or round_.now for one in of_ticket)
    if len({one.device for one in of_ticket}) == 1:
        return f"not seen since {since:%Y-%m-%d %H:%M} UTC"
    named = ", ".join(one.device or "" for one in of_ticket[:MAX_NAMED])
    more = f" and {len(of_ticket) - MAX_NAMED} more" if len(of_ticket) > MAX_NAMED else ""
    return f"not seen since {since:%Y-%m-%d %H:%M} UTC: {named}{more}"
