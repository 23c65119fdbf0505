"""Every device's presence while the collector serves, followed from push to push.

Silence is measured by a monotonic clock: nobody vanishes, and nobody stays, because the wall clock was set.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.clock import EPOCH
from collector.contracts import DEFAULT_OFFICE_HOURS
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import Member, SiteKey
from collector.fleet.events import Told
from collector.fleet.presence import (
    GRACE,
    SETTLED,
    Facts,
    Patience,
    Presence,
    SiteView,
    State,
    is_expected,
    is_missed,
    is_reporting,
    is_witness,
    judge,
)
from protocol.wire import PowerSource

logger = logging.getLogger(__name__)

# `devices list` is another process and reads the database: how old may be what it sees of a device that keeps pushing.
SAVE_EVERY = timedelta(seconds=30)
# Late by two intervals is missed; the rest is for the network and the clocks.
FRESH_GRACE = timedelta(seconds=2)
STALLED_AFTER = timedelta(seconds=30)  # sweeps are seconds apart; after a longer gap nobody was listened to
STEP = 500  # devices looked at in one go

_LATELY_THERE = (Presence.ONLINE, Presence.SITE_OFFLINE)
_NO_NEIGHBOURS = SiteView("", DEFAULT_OFFICE_HOURS)  # for what needs none to be judged


@dataclass(frozen=True, slots=True)
class Heard:
    """What the samples tell of a device."""

    received_at: datetime  # its last push, by the collector's clock
    newest_at: datetime | None  # the time of its newest frame, by the agent's
    push_interval: timedelta


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a device, as its series tell it."""

    state: State
    agent_version: str
    agent_crashes: int
    machine_cuts: int


@dataclass(frozen=True, slots=True)
class Sweep:
    lost: list[str] = field(default_factory=list)  # devices that fell silent without a goodbye
    save: dict[str, datetime] = field(default_factory=dict)  # by device, when it was last heard
    changed: dict[str, State] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Track:
    """What is remembered of a device. Times by the monotonic clock, in seconds."""

    state: State
    received_at: datetime | None  # of the last push, as the samples last told it; only whether it changed counts
    heard: float | None
    saved: float | None
    goodbye: str | None
    on_battery: float | None
    agent_version: str
    agent_crashes: int
    machine_cuts: int


_Looked = tuple[_Track, Member, Facts]


class PresenceWatch:
    """`monotonic` measures silence, in seconds; without one the times that are handed in do."""

    def __init__(
        self,
        heard: Callable[[str], Heard | None],
        push_interval: timedelta,
        monotonic: Callable[[], float] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.stalls = 0
        self.offline_sites: frozenset[SiteKey] = frozenset()  # none of their devices has come back yet
        self._heard = heard
        self._push_interval = push_interval
        self._monotonic = monotonic
        self._patience = patience or Patience()
        self._grace_seconds = (3 * push_interval + GRACE).total_seconds()
        self._tracks: dict[str, _Track] = {}
        self._early_goodbyes: dict[str, tuple[datetime, str]] = {}  # of devices that no sweep has met yet
        self._swept: float | None = None
        self._listening_since = 0.0

    # What is told

    def said_goodbye(self, device: str, reason: str, received_at: datetime) -> None:
        """The samples of the same push must be in the store by now."""
        track = self._tracks.get(device)
        if track is None:
            self._early_goodbyes[device] = (received_at, reason)
            return
        self._listen(device, track, self.measure(received_at))
        track.goodbye = reason

    def take(self, device: str, told: Told, received_at: datetime) -> None:
        """What a push told beside its samples, which must be in the store by now."""
        if told.goodbye is not None:
            self.said_goodbye(device, told.goodbye, received_at)
        track = self._tracks.get(device)
        if track is None:
            return  # the database has it, and the first sweep reads it there
        if told.power is not None:
            track.on_battery = self.measure(received_at) if told.power is PowerSource.BATTERY else None
        track.agent_version = told.agent_version or track.agent_version
        track.agent_crashes += told.agent_crashes
        track.machine_cuts += told.machine_cuts

    # What is known

    def known(self, device: str) -> Known | None:
        """As of the last sweep."""
        track = self._tracks.get(device)
        if track is None:
            return None
        return Known(track.state, track.agent_version, track.agent_crashes, track.machine_cuts)

    def is_seen(self, device: str, now: datetime) -> bool:
        """Whether what the device's series say is of now: it has not left, and its newest frame is at most two push
        intervals old. A device that nobody knows is taken as seen: there is nothing to wait for."""
        heard, track = self._heard(device), self._tracks.get(device)
        if heard is None or heard.newest_at is None:
            return track is None
        if track is not None and track.goodbye is not None and heard.received_at == track.received_at:
            return False
        early = self._early_goodbyes.get(device)
        if early is not None and heard.received_at <= early[0]:
            return False
        return now - heard.newest_at <= 2 * heard.push_interval + FRESH_GRACE

    def reports(self, device: str, now: datetime) -> bool | None:
        """Whether its last push is at most two push intervals old; None: nobody has listened for so long yet."""
        track, heard = self._tracks.get(device), self._heard(device)
        interval = self._push_interval if heard is None else heard.push_interval
        measured, silent_seconds = self.measure(now), (2 * interval + FRESH_GRACE).total_seconds()
        if track is not None and track.heard is not None and measured - track.heard <= silent_seconds:
            return True
        is_sure = self._swept is not None and measured - self._listening_since > silent_seconds
        return False if is_sure else None

    def last_heard(self, device: str) -> datetime | None:
        heard = self._heard(device)
        return None if heard is None else heard.received_at

    def counts(self, members: Mapping[str, Member]) -> dict[tuple[str, ...], int]:
        """How many devices by customer, kind and presence, as of the last sweep."""
        counted: Counter[tuple[str, ...]] = Counter()
        for device, member in members.items():
            if member.status is not DeviceStatus.ENDED:
                track = self._tracks.get(device)
                presence = Presence.NEVER_SEEN if track is None else track.state.presence
                counted[member.target.customer, member.target.kind, presence] += 1
        return dict(counted)

    # The sweep

    def sweep(self, members: Mapping[str, Member], now: datetime) -> Sweep:
        """Who came, left or was lost since the last sweep, and whose last push the database should hear of."""
        found = Sweep()
        for _ in self.sweep_in_steps(members, now, found):
            pass
        return found

    def sweep_in_steps(self, members: Mapping[str, Member], now: datetime, found: Sweep) -> Iterator[None]:
        """The same, into `found`, with rests in between in which other work may be done."""
        measured = self.measure(now)
        self._note_gap(measured)
        silent: dict[SiteKey, list[_Looked]] = {}
        reporting: Counter[SiteKey] = Counter()
        for number, (device, member) in enumerate(members.items(), start=1):
            if number % STEP == 0:
                yield
            if member.status is DeviceStatus.ENDED:
                self._tracks.pop(device, None)
                continue
            track = self._track_of(device, member, now, found)
            heard = self._listen(device, track, measured)
            interval = self._push_interval if heard is None else heard.push_interval
            facts = (
                None
                if self._goes_on(track, member, interval, measured)
                else self._facts(track, member, interval, now, measured)
            )
            if facts is None or is_reporting(facts, self._patience, now):
                reporting[member.site_key] += is_witness(member.policy)
            elif facts.goodbye is None and facts.heard_at is not None:
                if _may_change(track.state, facts, self._patience, now):
                    silent.setdefault(member.site_key, []).append((track, member, facts))
                continue
            if facts is not None:
                self._settle((track, member, facts), _NO_NEIGHBOURS, now, found)
            self._save(track, device, now, measured, found)
        offline = set()
        yield
        settled = 0
        for key, site in self._views(members, silent, reporting).items():
            for looked in silent[key]:
                settled += 1
                if settled % STEP == 0:
                    yield
                self._settle(looked, site, now, found)
                state = looked[0].state
                if state.presence is Presence.SITE_OFFLINE and site.returned_after(state.since) is None:
                    offline.add(key)
        self.offline_sites = frozenset(offline)

    def measure(self, now: datetime) -> float:
        """Seconds of the clock that silence is measured by."""
        return (now - EPOCH).total_seconds() if self._monotonic is None else self._monotonic()

    def _note_gap(self, measured: float) -> None:
        """After a start, or a time in which this process did not run, silence counts anew and after a grace."""
        stalled_seconds = max(STALLED_AFTER, 2 * self._push_interval).total_seconds()
        if self._swept is None or measured - self._swept > stalled_seconds:
            if self._swept is not None:
                self.stalls += 1
                logger.warning("nobody was listened to for a while: seconds=%.0f", measured - self._swept)
            self._listening_since = measured
        self._swept = measured

    def _listen(self, device: str, track: _Track, measured: float) -> Heard | None:
        """What the samples tell, and whether that is news."""
        heard = self._heard(device)
        if heard is not None and heard.received_at != track.received_at:
            track.received_at = heard.received_at
            track.heard = measured
            track.goodbye = None
        return heard

    def _goes_on(self, track: _Track, member: Member, interval: timedelta, measured: float) -> bool:
        """Whether it was online and still reports, as nearly all do: then no more need be worked out."""
        state = track.state
        if state.presence is not Presence.ONLINE or state.policy is not member.policy or track.heard is None:
            return False
        missed_seconds = self._patience.until_missed(interval).total_seconds()
        return track.goodbye is None and 0 <= measured - track.heard <= missed_seconds

    def _track_of(self, device: str, member: Member, now: datetime, found: Sweep) -> _Track:
        track = self._tracks.get(device)
        if track is None:
            track = self._tracks[device] = self._first_look(member, now, self.measure(now))
            if member.presence is None:
                found.changed[device] = track.state
        return track

    def _first_look(self, member: Member, now: datetime, measured: float) -> _Track:
        """A device as database and samples have it."""

        def measure(at: datetime | None) -> float | None:
            return None if at is None else measured - max(0.0, (now - at).total_seconds())

        device = member.target.device_id
        heard = self._heard(device)
        received_at = heard.received_at if heard else None
        heard_at = max(filter(None, (received_at, member.last_seen_at)), default=None)
        said = [(member.goodbye_at, member.goodbye_reason or "")] if member.goodbye_at is not None else []
        if device in self._early_goodbyes:
            said.append(self._early_goodbyes.pop(device))
        goodbye = None
        if said and (heard_at is None or heard_at <= max(said)[0]):
            heard_at, goodbye = max(said)
        presence = Presence.NEVER_SEEN if heard_at is None else Presence.ONLINE
        return _Track(
            state=member.presence or State(presence, heard_at or now, "reports" if heard_at else "", member.policy),
            received_at=received_at,
            heard=measure(heard_at),
            saved=measure(member.last_seen_at),
            goodbye=goodbye,
            on_battery=measure(member.on_battery_since),
            agent_version=member.agent_version,
            agent_crashes=member.agent_crashes,
            machine_cuts=member.machine_cuts,
        )

    def _facts(self, track: _Track, member: Member, interval: timedelta, now: datetime, measured: float) -> Facts:
        def wall(at: float | None) -> datetime | None:
            return None if at is None else now - timedelta(seconds=measured - at)

        if track.heard is not None and track.heard > measured:
            track.heard = measured  # without a monotonic clock: the one that is handed in was set back

        is_excused = (
            track.state.presence is Presence.ONLINE and track.heard is not None and track.heard < self._listening_since
        )
        return Facts(
            heard_at=wall(track.heard),
            goodbye=track.goodbye,
            push_interval=interval,
            policy=member.policy,
            on_battery_since=wall(track.on_battery),
            machine=member.machine,
            excused_until=wall(self._listening_since + self._grace_seconds) if is_excused else None,
        )

    def _views(
        self,
        members: Mapping[str, Member],
        silent: Mapping[SiteKey, Sequence[_Looked]],
        reporting: Mapping[SiteKey, int],
    ) -> dict[SiteKey, SiteView]:
        """What the devices of each site where somebody is silent tell about each other."""
        if not silent:
            return {}
        returned: dict[SiteKey, list[datetime]] = {key: [] for key in silent}
        machines: dict[SiteKey, set[str]] = {key: set() for key in silent}
        quiet = {member.target.device_id for unsettled in silent.values() for _, member, _ in unsettled}
        for device, member in members.items():
            key = member.site_key
            track = self._tracks.get(device)
            if key not in silent or device in quiet or track is None or track.state.presence is not Presence.ONLINE:
                continue
            machines[key].add(member.machine)
            if is_witness(member.policy):
                returned[key].append(track.state.since)
        views = {}
        for key, unsettled in silent.items():
            vanished = [
                facts.silent_since
                for track, member, facts in unsettled
                if is_expected(facts, member.hours, self._patience) and track.state.presence in _LATELY_THERE
            ]
            views[key] = SiteView(
                name="/".join(key),
                hours=unsettled[0][1].hours,
                reporting=reporting.get(key, 0),
                vanished=sorted(vanished),
                returned=sorted(returned[key]),
                machines=machines[key] - {""},
            )
        return views

    def _settle(self, looked: _Looked, site: SiteView, now: datetime, found: Sweep) -> None:
        track, member, facts = looked
        before, device = track.state, member.target.device_id
        after = judge(before, facts, site, self._patience, now)
        if after is before:
            return
        track.state = found.changed[device] = after
        if facts.heard_at is not None:
            found.save[device] = facts.heard_at
        if before.presence is Presence.ONLINE and after.presence is not Presence.ONLINE and facts.goodbye is None:
            found.lost.append(device)

    def _save(self, track: _Track, device: str, now: datetime, measured: float, found: Sweep) -> None:
        """Now and then, and with every change, the database hears of the last push."""
        if track.heard is None or (track.saved is not None and track.heard - track.saved < SAVE_EVERY.total_seconds()):
            return
        track.saved = track.heard
        found.save[device] = now - timedelta(seconds=measured - track.heard)


def _may_change(state: State, facts: Facts, patience: Patience, now: datetime) -> bool:
    """Whether a silent device need be looked at together with its neighbours."""
    if state.presence is Presence.SITE_OFFLINE:
        return True
    if state.presence in SETTLED:
        return state.policy is not facts.policy
    return is_missed(facts, patience, now)
