"""Presence: what is known of a device's being there, by the time of the collector alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GRACE = timedelta(seconds=60)  # the network's hiccups, and how rarely the database hears of pushes


class Presence(StrEnum):
    ONLINE = "online"
    SHUT_DOWN = "shut_down"  # it said so
    ASLEEP = "asleep"  # it said so
    STOPPED = "stopped"  # its agent was stopped, the machine may well run
    SILENT = "silent"  # it said nothing, and is not heard
    NEVER_SEEN = "never_seen"


_BY_GOODBYE = {"shutdown": Presence.SHUT_DOWN, "sleep": Presence.ASLEEP, "stop": Presence.STOPPED}


@dataclass(frozen=True, slots=True)
class PresenceFacts:
    last_received_at: datetime | None  # receive time of its newest push
    goodbye_at: datetime | None  # receive time of the push that said goodbye
    goodbye_reason: str | None
    push_interval: timedelta


def presence_of(facts: PresenceFacts, now: datetime) -> Presence:
    """A goodbye holds until the next push. Without one a device is online until it missed two pushes and a grace."""
    received = facts.last_received_at
    if facts.goodbye_at is not None and (received is None or received <= facts.goodbye_at):
        return _BY_GOODBYE.get(facts.goodbye_reason or "", Presence.STOPPED)
    if received is None:
        return Presence.NEVER_SEEN
    return Presence.ONLINE if now - received <= 2 * facts.push_interval + GRACE else Presence.SILENT
