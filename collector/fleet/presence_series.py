"""Presence as series: what the collector itself says of each device and site, stored like any other samples.

They stand in streams of their own, so that they neither count as the device's own pushes nor end when it leaves.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Protocol

from collector.clock import to_milliseconds
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import Member, SiteKey
from collector.fleet.presence import Presence
from collector.fleet.watch import Known
from collector.series.catalog import DeviceFrame, Layout, TemplateList, pack_values
from collector.series.labels import Target

ROUND_SECONDS = 60.0  # each device once; well within the lookback of five minutes
SLICES = 30
MAX_FRAMES = 1_000  # in one append
# After a start a larger fleet's series come in the course of the first round, since new ones take a while to make;
# at once come those that alerts may hang on.
AT_ONCE = 1_000
MISSING = frozenset({Presence.GONE, Presence.AGENT_CRASHED, Presence.AGENT_STOPPED, Presence.SITE_OFFLINE})

UP = "quarkpulse_device_up"
PRESENCE = "quarkpulse_device_presence"
SITE_UP = "quarkpulse_site_up"
INFO = "quarkpulse_device_info"
OUTDATED = "quarkpulse_agent_outdated"
UNEXPECTED_RESTARTS = "quarkpulse_device_unexpected_restarts_total"

# For people and for checks of rules: each metric with its labels beside the reserved ones, and what it means.
METRICS: Mapping[str, tuple[tuple[str, ...], str]] = {
    UP: ((), "1 while the device is online, else 0"),
    PRESENCE: (("state",), "1 for the state that the device is in, 0 for each other"),
    SITE_UP: ((), "0 from when a site's devices vanished together until the first comes back, else 1"),
    INFO: (("hostname", "os", "agent_version", "model"), "Always 1"),
    OUTDATED: ((), "1 if the device's agent is older than the collector, else 0"),
    UNEXPECTED_RESTARTS: (
        ("cause",),
        "Starts of the agent after a run that ended without a goodbye, because of the agent or of the machine",
    ),
}

DEVICE_SERIES: Sequence[tuple[str, Mapping[str, str]]] = (
    (UP, {}),
    *((PRESENCE, {"state": state.value}) for state in Presence),
    (OUTDATED, {}),
    (UNEXPECTED_RESTARTS, {"cause": "agent"}),
    (UNEXPECTED_RESTARTS, {"cause": "machine"}),
)
_PLACE = {state: place for place, state in enumerate(Presence, start=1)}

_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class SampleSink(Protocol):
    """The part of the sample store that is needed."""

    def series(self, series: Sequence[tuple[str, Mapping[str, str]]]) -> TemplateList: ...

    def layout(self, target: Target, series: TemplateList, stream: str = "") -> Layout: ...

    async def append(self, frames: Sequence[DeviceFrame]) -> None: ...


class PresenceSeries:
    """Writes every device's series once in a round, a slice at a time, and at once when something changed."""

    def __init__(self, store: SampleSink, known: Callable[[str], Known | None], version: str) -> None:
        self._store = store
        self._known = known
        self._version = version
        self._of_device = store.series(DEVICE_SERIES)
        self._of_site = store.series([(SITE_UP, {})])
        self._nothing = store.series([])
        self._members: Mapping[str, Member] = {}
        self._slices: list[list[Member]] = []
        self._sites: list[SiteKey] = []
        self._position: int | None = None  # the slice that was written last, counted through; None: none yet
        self._offline: Set[SiteKey] = frozenset()
        self._ends: list[DeviceFrame] = []

    async def write(
        self,
        members: Mapping[str, Member],
        changed: Set[str],
        offline_sites: Set[SiteKey],
        now: datetime,
        measured: float,
    ) -> None:
        """What is due by `measured`, seconds of a monotonic clock, and those that `changed`. Returns once it is
        durable. Raises what the store's `append` raises; what was due is then due at the next call."""
        t = to_milliseconds(now)
        if members is not self._members:
            self._ends += self._follow(members, t)
        frames = list(self._ends)
        position = int(measured / ROUND_SECONDS * SLICES)
        is_first = self._position is None
        first = position - SLICES if self._position is None else max(self._position, position - SLICES)
        if is_first and len(members) > AT_ONCE:
            first = position
            changed = changed | {device for device in members if self._is_told_by_rules(device)}
        due = {number % SLICES for number in range(first + 1, position + 1)}
        written: set[str] = set()
        for number in due:
            for member in self._slices[number]:
                written.add(member.target.device_id)
                frames += self._device_frames(member, t)
        for device in changed - written:
            one = members.get(device)
            if one is not None and one.status is not DeviceStatus.ENDED:
                frames += self._device_frames(one, t)
        for key in self._sites:
            if is_first or _slice_of("/".join(key)) in due or (key in offline_sites) != (key in self._offline):
                frames.append(self._site_frame(key, self._of_site, t, 0.0 if key in offline_sites else 1.0))
        for start in range(0, len(frames), MAX_FRAMES):
            await self._store.append(frames[start : start + MAX_FRAMES])
        self._position, self._offline = position, frozenset(offline_sites)
        self._ends.clear()

    def _follow(self, members: Mapping[str, Member], t: int) -> list[DeviceFrame]:
        """Takes up another picture of the fleet; the frames that end the series of those who are gone."""
        active = {device: one for device, one in members.items() if one.status is not DeviceStatus.ENDED}
        sites = sorted({member.site_key for member in active.values()})
        ends = []
        for device, member in self._members.items():
            if device not in active and member.status is not DeviceStatus.ENDED:
                ends += [self._frame(member.target, self._nothing, stream, t, ()) for stream in ("presence", "info")]
        ends += [self._site_frame(key, self._nothing, t) for key in self._sites if key not in set(sites)]
        self._slices = [[] for _ in range(SLICES)]
        for device, member in active.items():
            self._slices[_slice_of(device)].append(member)
        self._members, self._sites = members, sites
        return ends

    def _is_told_by_rules(self, device: str) -> bool:
        known = self._known(device)
        return known is not None and known.state.presence in MISSING

    def _device_frames(self, member: Member, t: int) -> list[DeviceFrame]:
        known = self._known(member.target.device_id)
        if known is None:
            return []
        values = [0.0] * len(DEVICE_SERIES)
        presence = known.state.presence
        values[0] = float(presence is Presence.ONLINE)
        values[_PLACE[presence]] = 1.0
        values[-3:] = (
            float(is_older(known.agent_version, self._version)),
            float(known.agent_crashes),
            float(known.machine_cuts),
        )
        labels = {
            "hostname": member.hostname,
            "os": member.os,
            "agent_version": known.agent_version,
            "model": member.model,
        }
        info = self._store.series([(INFO, labels)])
        return [
            self._frame(member.target, self._of_device, "presence", t, values),
            self._frame(member.target, info, "info", t, (1.0,)),
        ]

    def _site_frame(self, key: SiteKey, series: TemplateList, t: int, *values: float) -> DeviceFrame:
        customer, site = key
        # One stream for each: a stream's series end when its device, here none, goes to another site.
        return self._frame(Target("", customer, site, ""), series, f"site {customer}/{site}", t, values)

    def _frame(self, target: Target, series: TemplateList, stream: str, t: int, values: Sequence[float]) -> DeviceFrame:
        return DeviceFrame(self._store.layout(target, series, stream), t, t, pack_values(values))


def is_older(agent: str, collector: str) -> bool:
    """Whether an agent's version is below the collector's, by the numbers that they begin with."""
    ours, theirs = _VERSION.match(collector), _VERSION.match(agent)
    return ours is not None and theirs is not None and _numbers(theirs[0]) < _numbers(ours[0])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _slice_of(text: str) -> int:
    """Always the same for the same text, so that a change of the fleet puts nobody off."""
    return zlib.crc32(text.encode()) % SLICES
