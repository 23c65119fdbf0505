"""What becomes of a device: the whole model as a table of cases."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.contracts import OfficeHours
from collector.fleet.policy import DEFAULT_POLICIES, Policy, policy_of
from collector.fleet.presence import Facts, Patience, Presence, SiteView, State, judge
from protocol.wire import Kind

AMSTERDAM = OfficeHours.parse("Mon-Fri 08:00-18:00", "Europe/Amsterdam")
MONDAY_NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)  # 12:00 in Amsterdam
INTERVAL = timedelta(seconds=60)
PATIENCE = Patience()


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def site(**told: object) -> SiteView:
    return SiteView(**{"name": "acme/hq", "hours": AMSTERDAM, **told})  # type: ignore[arg-type]


def facts(heard_at: datetime | None = MONDAY_NOON, policy: Policy = Policy.ALWAYS, **told: object) -> Facts:
    return Facts(**{"heard_at": heard_at, "goodbye": None, "push_interval": INTERVAL, "policy": policy, **told})  # type: ignore[arg-type]


def state(presence: Presence = Presence.ONLINE, policy: Policy = Policy.ALWAYS, since: datetime = MONDAY_NOON) -> State:
    return State(presence, since, "", policy)


def after(silence: timedelta, known: Facts, view: SiteView | None = None, before: State | None = None) -> State:
    assert known.heard_at is not None
    now = known.heard_at + silence
    return judge(before or state(policy=known.policy), known, view or site(reporting=3), PATIENCE, now)


@pytest.mark.parametrize(
    ("goodbye", "presence"),
    [
        ("shutdown", Presence.SHUT_DOWN),
        ("sleep", Presence.ASLEEP),
        ("stop", Presence.AGENT_STOPPED),
        ("something new", Presence.AGENT_STOPPED),
        ("", Presence.AGENT_STOPPED),
    ],
)
def test_a_goodbye_is_believed(goodbye: str, presence: Presence) -> None:
    for silence in (minutes(0), timedelta(days=9)):
        assert after(silence, facts(goodbye=goodbye)).presence is presence


def test_a_device_that_was_never_heard() -> None:
    before = state(Presence.NEVER_SEEN)
    assert judge(before, facts(None), site(), PATIENCE, MONDAY_NOON) is before


@pytest.mark.parametrize(
    ("silence", "presence"),
    [(minutes(3), Presence.ONLINE), (minutes(5), Presence.ONLINE), (minutes(5.1), Presence.GONE)],
)
def test_a_server_alone_is_gone_after_five_minutes(silence: timedelta, presence: Presence) -> None:
    assert after(silence, facts()).presence is presence


def test_a_slow_device_gets_an_interval_more() -> None:
    slow = facts(push_interval=timedelta(minutes=2))
    assert after(minutes(7), slow).presence is Presence.ONLINE
    assert after(minutes(7.1), slow).presence is Presence.GONE


@pytest.mark.parametrize(
    ("local", "presence"),
    [
        ((2026, 3, 2, 12, 0), Presence.GONE),  # a Monday
        ((2026, 3, 2, 17, 56), Presence.SHUT_DOWN),  # at 18:01 it is not expected any more
        ((2026, 3, 2, 19, 0), Presence.SHUT_DOWN),
        ((2026, 3, 2, 7, 58), Presence.SHUT_DOWN),  # it vanished before anybody was at work
        ((2026, 3, 1, 12, 0), Presence.SHUT_DOWN),  # a Sunday
        ((2026, 4, 27, 12, 0), Presence.SHUT_DOWN),  # King's Day, a Monday
    ],
)
def test_a_desktops_silence_counts_within_office_hours(local: tuple[int, ...], presence: Presence) -> None:
    heard_at = datetime(*local, tzinfo=AMSTERDAM.zone).astimezone(UTC)  # type: ignore[misc,arg-type]
    assert after(minutes(10), facts(heard_at, Policy.OFFICE_HOURS)).presence is presence


def test_what_is_settled_stays_until_the_device_is_heard() -> None:
    gone = after(minutes(6), facts(policy=Policy.OFFICE_HOURS))
    assert after(timedelta(hours=20), facts(policy=Policy.OFFICE_HOURS), before=gone) is gone
    back = judge(gone, facts(MONDAY_NOON + timedelta(hours=20)), site(), PATIENCE, MONDAY_NOON + timedelta(hours=20))
    assert back.presence is Presence.ONLINE
    assert "was gone since 2026-03-02 11:06 UTC" in back.reason


@pytest.mark.parametrize(("policy", "presence"), [(Policy.ROAMING, Presence.ASLEEP), (Policy.NONE, Presence.SHUT_DOWN)])
def test_the_silence_of_some_is_never_a_fault(policy: Policy, presence: Presence) -> None:
    assert after(timedelta(days=3), facts(policy=policy)).presence is presence


def test_a_change_of_policy_is_followed() -> None:
    gone = after(minutes(6), facts())
    asleep = after(minutes(7), facts(policy=Policy.ROAMING), before=gone)
    assert (asleep.presence, asleep.policy) == (Presence.ASLEEP, Policy.ROAMING)
    assert after(minutes(8), facts(), before=asleep).presence is Presence.GONE
    off = after(minutes(7), facts(policy=Policy.NONE), before=after(minutes(7), facts(goodbye="shutdown")))
    assert off.presence is Presence.SHUT_DOWN


def test_another_agent_on_the_machine_tells_that_the_agent_crashed() -> None:
    view = site(reporting=1, machines={"m-1 ws"})
    assert after(minutes(6), facts(machine="m-1 ws"), view).presence is Presence.AGENT_CRASHED
    assert after(minutes(6), facts(machine="m-1 other"), view).presence is Presence.GONE


def test_a_device_alone_at_its_site_has_no_witness() -> None:
    found = after(minutes(6), facts(on_battery_since=MONDAY_NOON - minutes(20)), site())
    assert found.presence is Presence.GONE
    assert "no other device at acme/hq can tell" in found.reason
    assert "on battery since 2026-03-02 11:40" in found.reason


def vanished(*minutes_apart: float) -> list[datetime]:
    return sorted(MONDAY_NOON + minutes(apart) for apart in minutes_apart)


@pytest.mark.parametrize(
    ("others", "reporting", "presence"),
    [
        ((0.5,), 0, Presence.SITE_OFFLINE),
        ((0.5,), 2, Presence.SITE_OFFLINE),  # two of four
        ((0.5,), 3, Presence.ONLINE),  # two of five: each for itself
        ((1, 1.5, 2), 0, Presence.SITE_OFFLINE),
        ((), 0, Presence.ONLINE),  # alone: its patience is not over
        ((3,), 0, Presence.ONLINE),  # the other reported for three minutes more
        ((-90,), 0, Presence.ONLINE),  # the other was away long before
    ],
)
def test_devices_that_vanish_together_are_a_site_offline(
    others: tuple[float, ...], reporting: int, presence: Presence
) -> None:
    view = site(reporting=reporting, vanished=vanished(0, *others))
    assert after(minutes(3.1), facts(), view).presence is presence


def test_a_laptop_that_vanishes_with_the_site_is_offline_with_it() -> None:
    view = site(vanished=vanished(0, 0.5))
    assert after(minutes(3.1), facts(policy=Policy.ROAMING), view).presence is Presence.SITE_OFFLINE


def test_a_site_is_offline_until_one_of_its_devices_comes_back() -> None:
    offline = after(minutes(3.1), facts(), site(vanished=vanished(0, 0.5)))
    assert after(timedelta(days=1), facts(), site(vanished=vanished(0, 0.5)), offline) is offline
    back = site(vanished=vanished(0), reporting=1, returned=[MONDAY_NOON + minutes(60)])
    assert after(minutes(69), facts(), back, offline) is offline  # machines boot one after the other
    gone = after(minutes(70), facts(), back, offline)
    assert gone.presence is Presence.GONE
    assert "acme/hq is back since" in gone.reason


def test_who_reported_before_the_collector_was_away_is_not_missed_at_once() -> None:
    """Silence counts from the end of the grace."""
    until = MONDAY_NOON + timedelta(hours=2)
    excused = facts(excused_until=until)
    for silence in (timedelta(hours=1), timedelta(hours=2, minutes=4)):
        assert after(silence, excused).presence is Presence.ONLINE
    assert after(timedelta(hours=2, minutes=6), excused).presence is Presence.GONE
    # It may have said goodbye to nobody.
    desktop = facts(policy=Policy.OFFICE_HOURS, excused_until=until)
    assert after(timedelta(hours=2, minutes=6), desktop).presence is Presence.SHUT_DOWN


def test_policies_come_from_the_device_its_customer_or_its_kind() -> None:
    assert {kind: policy_of(None, None, kind) for kind in Kind} == DEFAULT_POLICIES
    assert policy_of(None, "always", "laptop") is Policy.ALWAYS
    assert policy_of("none", "always", "laptop") is Policy.NONE
    assert policy_of(None, None, "something new") is Policy.ALWAYS
