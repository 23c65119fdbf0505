"""Presence: whether a device is there, and if not, what became of it.

Pure: facts, the state before and the time in, the state out. All times are the collector's; what a device's own clock
says counts for nothing. How a silence without a goodbye is read:

1. Its neighbours vanished with it: the site is offline, for all of them, until one of the site's devices comes back.
2. It vanished alone and its policy allows that: it is taken to be asleep or shut down.
3. It vanished alone, and another agent on the same machine still reports: its agent crashed.
4. Else it is gone.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from collector.contracts import OfficeHours
from collector.fleet.policy import Policy

GRACE = timedelta(seconds=60)  # the network's hiccups: one lost push is no silence


class Presence(StrEnum):
    ONLINE = "online"
    SHUT_DOWN = "shut_down"  # it said so, or it is silent when its policy allows it
    ASLEEP = "asleep"  # likewise
    SITE_OFFLINE = "site_offline"  # vanished with its neighbours
    AGENT_STOPPED = "agent_stopped"  # somebody stopped its agent, the machine may well run
    AGENT_CRASHED = "agent_crashed"  # its agent is silent while another on the same machine reports
    GONE = "gone"  # silent when it should be there, alone
    NEVER_SEEN = "never_seen"


# States that a device does not leave before it is heard again, unless its policy changes.
SETTLED = frozenset(Presence) - {Presence.ONLINE, Presence.NEVER_SEEN}

_BY_GOODBYE = {
    "shutdown": (Presence.SHUT_DOWN, "the machine was shut down"),
    "sleep": (Presence.ASLEEP, "the machine went to sleep"),
}
_STOPPED = (Presence.AGENT_STOPPED, "its agent was stopped; the machine may well run")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it takes until silence means something. Both count from the last push, or from when it was listened."""

    gone_after: timedelta = timedelta(minutes=5)
    # After a site came back: machines boot, and an agent waits up to five minutes between tries.
    return_after: timedelta = timedelta(minutes=10)

    def until_missed(self, push_interval: timedelta) -> timedelta:
        """Two pushes and a grace."""
        return 2 * push_interval + GRACE

    def until_gone(self, push_interval: timedelta) -> timedelta:
        """At least an interval more: by then neighbours that vanished at the same moment are missed as well."""
        return max(self.gone_after, self.until_missed(push_interval) + push_interval)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a device."""

    heard_at: datetime | None  # its last push
    goodbye: str | None  # its reason, if nothing was heard since
    push_interval: timedelta
    policy: Policy
    machine: str = ""
    on_battery_since: datetime | None = None
    # The collector was away when it was last heard: silence counts only from then on.
    excused_until: datetime | None = None

    @property
    def silent_since(self) -> datetime:
        """From when on its silence counts. Raises ValueError of a device that was never heard."""
        since = self.excused_until or self.heard_at
        if since is None:
            raise ValueError("a device that was never heard is not silent")
        return since


@dataclass(frozen=True, slots=True)
class State:
    presence: Presence
    since: datetime
    reason: str  # for people, in one sentence
    policy: Policy  # under which it was judged


@dataclass(frozen=True, slots=True)
class SiteView:
    """What a site's devices tell about each other. Witnesses are those that are expected there: a laptop that reports
    may do so from home."""

    name: str
    hours: OfficeHours
    reporting: int = 0  # witnesses that report
    vanished: Sequence[datetime] = ()  # of expected devices that are silent without a goodbye: since when, sorted
    returned: Sequence[datetime] = ()  # when witnesses that report now began to, sorted
    machines: Set[str] = field(default_factory=frozenset)  # on which an agent reports

    def vanished_between(self, first: datetime, last: datetime) -> int:
        return bisect_right(self.vanished, last) - bisect_left(self.vanished, first)

    def returned_after(self, at: datetime) -> datetime | None:
        """When the first device came back after `at`."""
        place = bisect_right(self.returned, at)
        return self.returned[place] if place < len(self.returned) else None


def is_witness(policy: Policy) -> bool:
    """Whether a device that reports shows that its site's line works."""
    return policy in (Policy.ALWAYS, Policy.OFFICE_HOURS)


def is_reporting(facts: Facts, patience: Patience, now: datetime) -> bool:
    if facts.heard_at is None or facts.goodbye is not None:
        return False
    return now - facts.heard_at <= patience.until_missed(facts.push_interval)


def is_missed(facts: Facts, patience: Patience, now: datetime) -> bool:
    """Whether it is silent without having said so, for longer than the network explains."""
    if facts.heard_at is None or facts.goodbye is not None:
        return False
    return now - facts.silent_since > patience.until_missed(facts.push_interval)


def is_expected(facts: Facts, hours: OfficeHours, patience: Patience) -> bool:
    """Whether its policy lets nobody expect its silence."""
    match facts.policy:
        case Policy.ALWAYS:
            return True
        case Policy.OFFICE_HOURS:
            # What vanished while nobody listened may have said goodbye to nobody.
            if facts.heard_at is None or facts.excused_until is not None:
                return False
            return hours.are_one_stretch(facts.heard_at, facts.heard_at + patience.until_gone(facts.push_interval))
        case Policy.ROAMING | Policy.NONE:
            return False


def judge(before: State, facts: Facts, site: SiteView, patience: Patience, now: datetime) -> State:
    """What becomes of a device: `before` itself where nothing changed."""
    presence, reason = _judge(before, facts, site, patience, now)
    if presence is not before.presence:
        return State(presence, now, reason, facts.policy)
    return before if facts.policy is before.policy else replace(before, reason=reason, policy=facts.policy)


def _judge(before: State, facts: Facts, site: SiteView, patience: Patience, now: datetime) -> tuple[Presence, str]:
    if facts.goodbye is not None:
        return _BY_GOODBYE.get(facts.goodbye, _STOPPED)
    if facts.heard_at is None:
        return Presence.NEVER_SEEN, "enrolled, and never heard"
    if is_reporting(facts, patience, now):
        return Presence.ONLINE, _why_online(before)
    back_at = site.returned_after(before.since) if before.presence is Presence.SITE_OFFLINE else None
    if back_at is not None and now >= back_at + patience.return_after:
        return _alone(facts, site, patience, f"{site.name} is back since {_clock(back_at, site)}, this device is not")
    is_settled = before.presence is Presence.SITE_OFFLINE or (
        before.presence in SETTLED and facts.policy is before.policy
    )
    if not is_settled and is_missed(facts, patience, now):
        return _judge_silence(before, facts, site, patience, now)
    return before.presence, before.reason


def _judge_silence(
    before: State, facts: Facts, site: SiteView, patience: Patience, now: datetime
) -> tuple[Presence, str]:
    together = _vanished_together(facts, site)
    if together:
        return Presence.SITE_OFFLINE, together
    if now - facts.silent_since <= patience.until_gone(facts.push_interval):
        return before.presence, before.reason
    return _alone(facts, site, patience, _witnesses(site))


def _vanished_together(facts: Facts, site: SiteView) -> str | None:
    """Why the site is taken to be offline: at least two expected devices vanished within a push interval and a grace,
    and they are at least half of those that were there."""
    since, apart = facts.silent_since, facts.push_interval + GRACE
    vanished = site.vanished_between(since - apart, since + apart)
    later = len(site.vanished) - bisect_right(site.vanished, since + apart)  # they reported on, and vanished since
    there = vanished + site.reporting + later
    if vanished < 2 or 2 * vanished < there:
        return None
    power = "; this one ran on battery" if facts.on_battery_since else ""
    return f"{vanished} of the {there} devices that reported from {site.name} vanished together{power}"


def _alone(facts: Facts, site: SiteView, patience: Patience, witnesses: str) -> tuple[Presence, str]:
    """What is made of a silence that no neighbour shares."""
    since = f"silent since {_clock(facts.heard_at or facts.silent_since, site)} without a goodbye"
    power = f"; on battery since {_clock(facts.on_battery_since, site)}" if facts.on_battery_since else ""
    if not is_expected(facts, site.hours, patience):
        match facts.policy:
            case Policy.ROAMING:
                return Presence.ASLEEP, f"{since}{power}; a roaming device may be asleep or away"
            case Policy.OFFICE_HOURS:
                return Presence.SHUT_DOWN, f"{since}; taken to be shut down, not within office hours that it began"
            case _:
                return Presence.SHUT_DOWN, f"{since}; taken to be shut down, it is not expected"
    if facts.machine in site.machines:
        return Presence.AGENT_CRASHED, f"{since}; another agent on the same machine reports"
    return Presence.GONE, f"{since}{power}; {witnesses}"


def _witnesses(site: SiteView) -> str:
    if site.reporting:
        return f"{site.reporting} others at {site.name} report"
    return f"no other device at {site.name} can tell whether the machine or the line failed"


def _why_online(before: State) -> str:
    if before.presence in (Presence.ONLINE, Presence.NEVER_SEEN):
        return "reports"
    return f"reports again; was {before.presence} since {before.since:%Y-%m-%d %H:%M} UTC"


def _clock(at: datetime, site: SiteView) -> str:
    return f"{at.astimezone(site.hours.zone):%Y-%m-%d %H:%M %Z}"
