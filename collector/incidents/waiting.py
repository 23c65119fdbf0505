"""Tickets that come once in a while: a rule's label `ticket_every` says how often at most.

An alert of such a rule joins the ticket of its key that is open, and reopens one that was resolved lately, as any other
does. Where a new ticket would have to open, and the last one opened less than `ticket_every` ago, the alert waits, and
is decided anew until then: so what is ordered by the week is one ticket a week. What cannot wait has a rule without the
label.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.durations import duration_text, parse_duration
from collector.desk.opening import Claim, Opened, claim
from collector.incidents.ledgers import LEDGERS, Ledger

EVERY = "ticket_every"


@dataclass(frozen=True, slots=True)
class Wait:
    ledger: Ledger
    number: int  # the last entry of the key
    until: datetime
    every: timedelta

    @property
    def reason(self) -> str:
        word = f"{self.ledger.word} {self.number}"
        often = duration_text(self.every)
        until = f"{self.until:%Y-%m-%d %H:%M} UTC"
        return f"held back: {word} is less than {often} old; this waits for the next one, from {until}"


def every_of(labels: Mapping[str, str]) -> timedelta | None:
    """How often at most a ticket of an alert comes; None: whenever it must."""
    try:
        return parse_duration(labels[EVERY]) if labels.get(EVERY) else None
    except ValueError:  # an alert of another ruler, whose labels nobody checked
        return None


async def waits(
    connection: AsyncConnection, ledger: Ledger, every: Mapping[str, timedelta], now: datetime, reopen_within: timedelta
) -> dict[str, Wait]:
    """Which of some keys have to wait for their next entry in this ledger."""
    opened: set[str] = set()
    for one in LEDGERS:
        opened |= (await one.entries.open_by_key(connection, every.keys())).keys()
    last = await ledger.rows.last_opened(connection, every.keys() - opened)
    return {
        key: Wait(ledger, entry.number, entry.opened_at + every[key], every[key])
        for key, entry in last.items()
        if now < entry.opened_at + every[key] and _would_open(entry, now, reopen_within)
    }


def _would_open(entry: Opened, now: datetime, reopen_within: timedelta) -> bool:
    return claim(entry.resolved_at, is_closed=entry.is_closed, now=now, reopen_within=reopen_within) is Claim.OPEN


def patient(cases: Collection[tuple[str, Mapping[str, str]]]) -> dict[str, timedelta]:
    """Of cases, as key and labels: the keys of which every case can wait, and for how long at most."""
    found = {key: every for key, labels in cases if (every := every_of(labels)) is not None}
    urgent = {key for key, labels in cases if every_of(labels) is None}
    return {key: every for key, every in found.items() if key not in urgent}
