"""Every device's presence while the collector serves, followed from push to push."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from collector.fleet.directory import DeviceStatus, Member
from collector.fleet.presence import Presence, presence_of

# `devices list` is another process and reads the database: how old may be what it sees of a device that keeps pushing.
SAVE_EVERY = timedelta(seconds=30)
# Late by two intervals is missed; the rest is for the network and the clocks.
FRESH_GRACE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the samples tell of a device."""

    received_at: datetime  # its last push, by the collector's clock
    newest_at: datetime | None  # the time of its newest frame, by the agent's
    push_interval: timedelta


@dataclass(frozen=True, slots=True)
class Sweep:
    lost: list[str] = field(default_factory=list)  # devices that fell silent without a goodbye
    save: dict[str, datetime] = field(default_factory=dict)  # by device, when it was last heard


class PresenceWatch:
    def __init__(self, heard: Callable[[str], Heard | None], push_interval: timedelta) -> None:
        self._heard = heard
        self._push_interval = push_interval
        self._goodbyes: dict[str, tuple[datetime, str]] = {}
        self._presence: dict[str, Presence] = {}
        self._saved: dict[str, datetime] = {}

    def said_goodbye(self, device: str, reason: str, received_at: datetime) -> None:
        self._goodbyes[device] = (received_at, reason)

    def presence(self, member: Member, now: datetime) -> Presence:
        device = member.target.device_id
        heard = self._heard(device)
        facts = member.presence_facts(
            heard.received_at if heard else None, heard.push_interval if heard else self._push_interval
        )
        if goodbye := self._goodbyes.get(device):  # younger than what the directory was loaded with
            facts = replace(facts, goodbye_at=goodbye[0], goodbye_reason=goodbye[1])
        return presence_of(facts, now)

    def is_seen(self, device: str, now: datetime) -> bool:
        """Whether what the device's series say is of now: it has not left, and its newest frame is at most two push
        intervals old. A device that nobody knows is taken as seen: there is nothing to wait for."""
        heard = self._heard(device)
        if heard is None or heard.newest_at is None:
            return device not in self._presence
        goodbye = self._goodbyes.get(device)
        if goodbye is not None and heard.received_at <= goodbye[0]:
            return False
        return now - heard.newest_at <= 2 * heard.push_interval + FRESH_GRACE

    def last_heard(self, device: str) -> datetime | None:
        heard = self._heard(device)
        return None if heard is None else heard.received_at

    def sweep(self, members: Mapping[str, Member], now: datetime) -> Sweep:
        """Who was lost since the last sweep, and whose last push the database should hear of."""
        found = Sweep()
        for device, member in members.items():
            if member.status is DeviceStatus.ENDED:
                continue
            before = self._presence.get(device)
            presence = self._presence[device] = self.presence(member, now)
            if before is Presence.ONLINE and presence is Presence.SILENT:
                found.lost.append(device)
            heard = self._heard(device)
            if heard is None:
                continue
            saved = self._saved.get(device)
            if saved is None or heard.received_at - saved >= SAVE_EVERY or (presence is not before and before):
                found.save[device] = self._saved[device] = heard.received_at
        return found

    def counts(self, members: Mapping[str, Member]) -> dict[tuple[str, ...], int]:
        """How many devices by customer, kind and presence, as of the last sweep."""
        known = (
            (member.target.customer, member.target.kind, self._presence.get(device, Presence.NEVER_SEEN))
            for device, member in members.items()
            if member.status is not DeviceStatus.ENDED
        )
        return dict(Counter(known))
