"""The two clocks of a ticket, from its events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts.business_time import OUTSIDE_HOURS, DaysOff
from collector.contracts.course import Course, LoggedEvent, course_of
from collector.contracts.priority import Priority
from collector.contracts.promises import Terms, load_sla_book
from collector.contracts.sla import WHILE_RESOLVED, WHILE_WAITING, Clock, ClockName, ClockState, clocks_of, lines_of

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
BOOK = load_sla_book()
OFFICE = Terms.agreed(BOOK, plan="monthly", sla="standard", support_level="8x5")  # P2: 2h and 16h; P3: 4h and 40h
ALWAYS = Terms.agreed(BOOK, plan="monthly", sla="standard", support_level="24x7")
LUNCH = Terms.agreed(BOOK, plan="monthly", sla="standard", support_level="lunch_break")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RUNNING, PAUSED, MET, BREACHED = ClockState.RUNNING, ClockState.PAUSED, ClockState.MET, ClockState.BREACHED


def at(text: str) -> datetime:
    """By the clock on a wall in Amsterdam."""
    return datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM).astimezone(UTC)


@dataclass(frozen=True)
class Story:
    """A ticket's events, told in the order in which they were written."""

    opened_at: datetime
    events: tuple[LoggedEvent, ...] = ()

    def then(self, when: str, kind: str, actor: str = "anna", **data: object) -> "Story":
        return replace(self, events=(*self.events, LoggedEvent(at(when), actor, kind, data)))

    def status(self, when: str, to: str, actor: str = "anna", **more: object) -> "Story":
        return self.then(when, "status", actor, to=to, **more)

    def priority(self, when: str, to: str) -> "Story":
        return self.then(when, "priority", "system", to=to)

    def terms(self, since: str, terms: Terms) -> "Story":
        return self.then(since, "terms", "system", **terms.data(), **{"from": at(since).isoformat()})

    def course(self) -> Course:
        return course_of(self.opened_at, Priority.P3, self.events)

    def clocks(self, now: str) -> tuple[Clock, Clock]:
        return clocks_of(self.course(), at(now))

    def response(self, now: str) -> Clock:
        return self.clocks(now)[0]

    def resolution(self, now: str) -> Clock:
        return self.clocks(now)[1]


def opened(when: str, terms: Terms | None = OFFICE, priority: str = "P2") -> Story:
    story = Story(at(when)).then(when, "opened", "system", priority=priority)
    return story if terms is None else story.terms(when, terms)


def test_what_escalated_before_a_ticket_was_resolved_counts_no_more_when_it_reopens() -> None:
    story = opened("2026-03-02T09:00").then("2026-03-02T10:00", "escalated", "system", to="second-line")
    resolved = story.status("2026-03-02T11:00", "resolved", "system").status("2026-03-02T12:00", "closed", "system")
    assert resolved.course().escalated_to == "second-line"
    assert story.status("2026-03-02T10:30", "new").course().escalated_to == "second-line"
    assert resolved.status("2026-03-02T13:00", "new", "system").course().escalated_to is None


def test_what_the_customer_says_is_no_answer_and_what_somebody_here_says_is() -> None:
    story = opened("2026-03-02T09:00").then("2026-03-02T09:10", "comment", "piet", public=True, contact=3)
    assert story.response("2026-03-02T10:00").state is RUNNING
    # taken down from the phone by anna: still the customer's
    story = story.then("2026-03-02T09:20", "comment", "anna", public=True, contact=3)
    assert story.response("2026-03-02T10:00").state is RUNNING
    story = story.then("2026-03-02T09:30", "comment", "anna", public=True)
    assert (story.response("2026-03-02T10:00").state, story.response("2026-03-02T10:00").used) == (MET, 30 * MINUTE)


def test_a_customer_that_answers_has_the_resolution_clock_go_on() -> None:
    story = opened("2026-03-02T09:00").status("2026-03-02T10:00", "waiting_customer")
    assert story.resolution("2026-03-02T12:00").state is PAUSED
    story = story.then("2026-03-02T12:00", "comment", "piet", public=True, contact=3)
    story = story.status("2026-03-02T12:00", "in_progress", "system")
    assert (story.resolution("2026-03-02T13:00").state, story.resolution("2026-03-02T13:00").used) == (
        RUNNING,
        2 * HOUR,
    )


# --- what others got wrong (FACTS, section 2, row 29)


def test_time_spent_waiting_over_a_weekend_is_no_more_than_the_hours_it_covers() -> None:
    """glpi #10594, PR 14937: the deadline moved by the wall clock's time of waiting, weekend and all."""
    story = opened("2026-03-06T15:00").status("2026-03-06T16:00", "waiting_customer")
    story = story.status("2026-03-09T10:00", "in_progress")  # Friday 16:00 to Monday 10:00: two hours of support
    clock = story.resolution("2026-03-09T10:30")
    assert clock.used == 90 * MINUTE
    without = opened("2026-03-06T15:00").resolution("2026-03-06T15:30").due_at
    assert without is not None and clock.due_at is not None
    assert without == at("2026-03-10T15:00")  # two hours on Friday, eight on Monday, six on Tuesday
    assert OFFICE.calendar.counted(without, clock.due_at) == 2 * HOUR
    assert clock.due_at == at("2026-03-10T17:00")


def test_waiting_never_moves_what_is_due_out_of_the_hours() -> None:
    """glpi #9082: a ticket that had waited was due after closing time."""
    for hours in range(1, 30):
        waited = opened("2026-03-05T10:00").status("2026-03-05T11:00", "waiting_customer")
        back = (at("2026-03-05T11:00") + hours * HOUR).astimezone(AMSTERDAM).replace(tzinfo=None).isoformat()
        due = waited.status(back, "in_progress").resolution("2026-03-10T12:00").due_at
        assert due is not None
        local = due.astimezone(AMSTERDAM)
        assert local.weekday() < 5 and 9 <= local.hour + local.minute / 60 <= 17, (hours, local)


def test_nothing_is_warned_or_breached_at_midnight_or_on_a_weekend() -> None:
    """zammad #4432: escalations at 00:00 and on Sundays, with service hours from 9 to 17. glpi PR 22678: what is told
    before the target is used up, on the next day of support, came at its 00:00."""
    story = opened("2026-03-06T16:30", priority="P3")  # four hours for an answer: half an hour left of Friday
    now = at("2026-03-06T16:30")
    seen: list[datetime] = []
    while now < at("2026-03-12T00:00"):
        for clock in clocks_of(story.course(), now):
            seen += [one for one in (clock.warned_at, clock.breached_at) if one is not None]
            if clock.next_at is not None:
                seen.append(clock.next_at)
        now += 15 * MINUTE
    assert set(seen) == {at("2026-03-09T11:30"), at("2026-03-09T12:30"), at("2026-03-12T14:30")}


def test_what_a_priority_uses_up_at_midnight_is_told_when_the_hours_begin() -> None:
    """An alert that gets worse at night raises the priority, and the shorter target is used up at once."""
    story = opened("2026-03-04T10:00", priority="P3").priority("2026-03-06T00:00", "P1")  # 15 hours used, of 8 now
    night = story.resolution("2026-03-06T00:01")
    assert (night.breached_at, night.next_at) == (None, at("2026-03-06T09:00"))
    told = story.resolution("2026-03-06T09:00")
    assert (told.state, told.breached_at) == (BREACHED, at("2026-03-06T09:00"))


@pytest.mark.parametrize("when", ["2026-03-06T17:00", "2026-03-07T03:00", "2026-03-08T23:59", "2026-04-27T12:00"])
def test_no_ticket_is_escalated_as_it_is_created(when: str) -> None:
    """glpi #15429: with hours of the week and a zone, tickets escalated during creation. glpi #687: outside of the
    hours the delay was 0."""
    story = opened(when, priority="P1")
    for clock in story.clocks(when):
        assert (clock.state, clock.used, clock.warned_at, clock.breached_at) == (RUNNING, timedelta(), None, None)
        assert clock.due_at is not None and clock.due_at > at(when)
        assert clock.next_at is not None and clock.next_at > at(when)


def test_a_holiday_counts_only_if_somebody_chose_it_and_is_told_by_name() -> None:
    """zammad #390: a feed brought in holidays that nobody knows, and four days became six."""
    none = replace(OFFICE, holidays="none")
    easter = "2026-04-02T16:00", "2026-04-07T10:00"  # Thursday to Tuesday over Good Friday and Easter Monday
    whys = [line.why_not for line in lines_of(opened(easter[0]).resolution(easter[1]))]
    assert whys == [None, OUTSIDE_HOURS, "Good Friday", OUTSIDE_HOURS, "Easter Monday", OUTSIDE_HOURS, None]
    whys = [line.why_not for line in lines_of(opened(easter[0], none).resolution(easter[1]))]
    assert whys == [None, OUTSIDE_HOURS] * 3 + [None]
    worked = replace(OFFICE, days_off=DaysOff(worked=frozenset({"Good Friday"})))
    assert (
        opened(easter[0], worked).resolution(easter[1]).used == opened(easter[0]).resolution(easter[1]).used + 8 * HOUR
    )


def test_nothing_counts_over_lunch() -> None:
    """frappe/helpdesk #2212: tickets of the lunch break were late before anybody was back."""
    story = opened("2026-03-05T12:30", LUNCH, priority="P1")  # one hour for an answer
    assert story.response("2026-03-05T13:00").used == timedelta()
    assert story.response("2026-03-05T13:00").due_at == at("2026-03-05T14:00")
    over = opened("2026-03-05T12:00", LUNCH, priority="P1").response("2026-03-05T13:20")
    assert over.used == 50 * MINUTE
    assert [line.why_not for line in lines_of(over)] == [None, OUTSIDE_HOURS, None]


def test_a_new_priority_keeps_the_time_of_waiting() -> None:
    """glpi #6902, #15605: another SLA was reckoned from the opening on, as if the ticket had never waited."""
    story = opened("2026-03-03T09:00", priority="P3").status("2026-03-03T10:00", "waiting_customer")
    story = story.priority("2026-03-03T12:00", "P2").status("2026-03-05T09:00", "in_progress")
    clock = story.resolution("2026-03-05T11:00")
    assert (clock.used, clock.target, clock.state) == (3 * HOUR, 16 * HOUR, RUNNING)
    assert clock.due_at == at("2026-03-06T16:00")


def test_going_back_to_new_is_no_breach() -> None:
    """glpi #14148: after waiting, the status 'new' breached at once."""
    story = opened("2026-03-03T09:00").status("2026-03-03T10:00", "waiting_customer").status("2026-03-20T10:00", "new")
    assert story.resolution("2026-03-20T10:00").used == HOUR
    assert story.resolution("2026-03-20T10:00").state is RUNNING


# --- response


@pytest.mark.parametrize(
    ("kind", "actor", "data", "is_met"),
    [
        ("comment", "anna", {"public": True}, True),
        ("comment", "anna", {"public": False}, False),
        ("comment", "anna", {}, False),
        ("comment", "system", {"public": True}, False),
        ("status", "anna", {"to": "in_progress"}, True),
        ("status", "anna", {"to": "waiting_customer"}, True),
        ("status", "anna", {"to": "resolved"}, True),
        ("status", "anna", {"to": "assigned"}, False),
        ("status", "system", {"to": "assigned"}, False),
        ("status", "system", {"to": "in_progress"}, False),
        ("assigned", "anna", {"to": "anna"}, False),
        ("watchers", "anna", {"added": ["x"]}, False),
    ],
)
def test_the_first_sign_of_a_human_is_the_response(
    kind: str, actor: str, data: dict[str, object], is_met: bool
) -> None:
    clock = opened("2026-03-03T09:00").then("2026-03-03T10:00", kind, actor, **data).response("2026-03-03T10:30")
    assert (clock.state is MET) == is_met
    assert (clock.met_at == at("2026-03-03T10:00")) == is_met
    if is_met:
        assert (clock.used, clock.due_at, clock.next_at) == (HOUR, None, None)


def test_an_answer_is_judged_by_what_held_when_it_came() -> None:
    story = opened("2026-03-03T09:00", priority="P3").then("2026-03-03T12:00", "comment", public=True)
    story = story.priority("2026-03-03T13:00", "P1")
    clock = story.response("2026-03-05T09:00")
    assert (clock.state, clock.target, clock.used) == (MET, 4 * HOUR, 3 * HOUR)


@pytest.mark.parametrize(("answered", "state"), [("11:00", MET), ("11:01", BREACHED)])
def test_an_answer_as_the_time_runs_out_is_in_time(answered: str, state: ClockState) -> None:
    story = opened("2026-03-03T09:00").then(f"2026-03-03T{answered}", "comment", public=True)
    assert story.response("2026-03-03T16:00").state is state


def test_a_fault_that_went_away_before_anybody_was_needed_breaks_no_promise() -> None:
    story = opened("2026-03-03T09:00").status("2026-03-03T09:30", "resolved", "system")
    assert [clock.state for clock in story.clocks("2026-03-04T12:00")] == [PAUSED, MET]
    closed = story.status("2026-03-09T09:00", "closed", "system")
    assert [clock.state for clock in closed.clocks("2026-03-10T12:00")] == [MET, MET]
    assert [clock.used for clock in closed.clocks("2026-03-10T12:00")] == [30 * MINUTE] * 2


# --- resolution


def test_it_stops_while_waiting_and_while_resolved_and_goes_on_after() -> None:
    story = (
        opened("2026-03-02T09:00")
        .status("2026-03-02T10:00", "in_progress")
        .status("2026-03-02T12:00", "waiting_customer")
        .status("2026-03-02T14:00", "in_progress")
        .status("2026-03-02T15:00", "resolved")
    )
    done = story.resolution("2026-03-03T10:00")
    assert (done.state, done.used, done.met_at) == (MET, 4 * HOUR, at("2026-03-02T15:00"))
    assert (done.due_at, done.next_at) == (None, None)
    again = story.status("2026-03-03T10:00", "new", "system").resolution("2026-03-03T11:00")
    assert (again.state, again.used, again.met_at) == (RUNNING, 5 * HOUR, None)
    assert [line.why_not for line in lines_of(again)] == [None, WHILE_WAITING, None, WHILE_RESOLVED, None]
    waiting = story.status("2026-03-03T10:00", "waiting_customer").resolution("2026-03-03T11:00")
    assert (waiting.state, waiting.due_at, waiting.next_at) == (PAUSED, None, None)


def test_a_resolution_that_was_so_since_earlier_counts_since_then() -> None:
    """Late data: the fault was over before it was known."""
    story = opened("2026-03-02T09:00").status("2026-03-02T11:30", "assigned", "system")
    since = at("2026-03-02T10:00").isoformat()
    assert story.status("2026-03-02T12:00", "resolved", "system", at=since).resolution("2026-03-02T12:00").used == HOUR
    told_later = story.status("2026-03-02T12:00", "resolved", "system").then(
        "2026-03-02T12:05", "corrected", "system", resolved_at=since
    )
    clock = told_later.resolution("2026-03-02T13:00")
    assert (clock.used, clock.met_at, clock.state) == (HOUR, at("2026-03-02T10:00"), MET)
    closed = told_later.status("2026-03-09T12:00", "closed", "system")
    assert closed.resolution("2026-03-10T12:00").met_at == at("2026-03-02T10:00")


def test_no_clock_starts_before_the_ticket() -> None:
    story = Story(at("2026-03-02T09:00")).then("2026-03-02T09:00", "opened", priority="P2")
    story = story.terms("2026-03-01T09:00", ALWAYS)  # the contract is older than the ticket
    assert story.resolution("2026-03-02T10:00").used == HOUR


def test_warned_then_breached_and_on_record() -> None:
    story = opened("2026-03-02T09:00", priority="P1")  # an hour, and eight
    assert story.response("2026-03-02T09:44").next_at == at("2026-03-02T09:45")
    warned = story.response("2026-03-02T09:45")
    assert (warned.state, warned.warned_at, warned.next_at) == (RUNNING, at("2026-03-02T09:45"), at("2026-03-02T10:00"))
    over = story.response("2026-03-02T10:00")
    assert (over.state, over.breached_at, over.due_at, over.next_at) == (BREACHED, *[at("2026-03-02T10:00")] * 2, None)
    assert story.response("2026-03-05T10:00").due_at == at("2026-03-02T10:00")  # since when it is late
    lower = story.priority("2026-03-02T11:00", "P4")  # eight hours now
    assert lower.response("2026-03-02T12:00").state is RUNNING
    assert lower.response("2026-03-02T12:00").breached_at == at("2026-03-02T10:00")
    late = story.then("2026-03-02T11:00", "comment", public=True).response("2026-03-03T09:00")
    assert (late.state, late.met_at, late.used) == (BREACHED, at("2026-03-02T11:00"), 2 * HOUR)


def test_late_over_a_night_is_late_in_the_night() -> None:
    story = opened("2026-03-02T09:00", priority="P1").status("2026-03-02T09:30", "in_progress")
    story = story.priority("2026-03-02T20:00", "P1")  # cut in hours that do not count
    assert story.resolution("2026-03-02T21:00").state is BREACHED  # eight hours were over at 17:00
    assert story.resolution("2026-03-02T21:00").due_at == at("2026-03-02T17:00")


def test_what_was_recorded_stays_on_record() -> None:
    """The breach was told; that late data or an edit would make it undone changes nothing of that."""
    story = opened("2026-03-02T09:00").then(
        "2026-03-02T12:00", "sla_breached", "system", clock="resolution", at=at("2026-03-02T11:00").isoformat()
    )
    clock = story.resolution("2026-03-02T13:00")
    assert (clock.state, clock.breached_at) == (RUNNING, at("2026-03-02T11:00"))


def test_a_change_of_contract_keeps_the_minutes_and_judges_by_what_holds_now() -> None:
    story = opened("2026-03-02T09:00", OFFICE).terms("2026-03-04T00:00", ALWAYS)
    before = story.resolution("2026-03-04T00:00")
    assert before.used == 16 * HOUR
    after = opened("2026-03-03T13:00", OFFICE).terms("2026-03-04T00:00", ALWAYS).resolution("2026-03-04T03:00")
    assert (after.used, after.due_at) == (7 * HOUR, at("2026-03-04T12:00"))  # four in office hours, then day and night
    ended = opened("2026-03-03T13:00", OFFICE).terms("2026-03-03T15:00", Terms("break_fix"))
    assert [clock.state for clock in ended.clocks("2026-03-03T16:00")] == [ClockState.NONE] * 2
    assert ended.resolution("2026-03-03T16:00").used == 2 * HOUR


def test_where_nothing_is_promised_there_are_no_clocks() -> None:
    for story in (opened("2026-03-02T09:00", None), opened("2026-03-02T09:00", Terms("break_fix"))):
        for clock in story.clocks("2026-04-02T09:00"):
            assert (clock.state, clock.target, clock.due_at, clock.breached_at) == (ClockState.NONE, None, None, None)
    partly = opened("2026-03-02T09:00", priority="P4").clocks("2026-03-02T10:00")
    assert [clock.state for clock in partly] == [RUNNING, ClockState.NONE]  # no resolution is promised for P4


def test_a_merged_ticket_has_no_clocks_of_its_own() -> None:
    story = opened("2026-03-02T09:00").then("2026-03-02T10:00", "merged", into=1005)
    story = story.status("2026-03-02T10:00", "closed")
    for clock in story.clocks("2026-03-09T10:00"):
        assert (clock.state, clock.used, clock.breached_at) == (ClockState.NONE, HOUR, None)


def test_an_event_of_a_clock_that_is_ahead_counts() -> None:
    story = opened("2026-03-02T09:00").status("2026-03-02T10:00:02", "waiting_customer")
    clock = story.resolution("2026-03-02T10:00")
    assert (clock.state, clock.used) == (PAUSED, HOUR + timedelta(seconds=2))
    story = opened("2026-03-02T09:00").status("2026-03-02T10:00:02", "resolved")
    assert [clock.state for clock in story.clocks("2026-03-02T10:00")] == [MET, MET]


# --- whatever happens


@st.composite
def stories(draw: st.DrawFn) -> Story:
    start = datetime(2026, 3, 20, tzinfo=UTC) + draw(st.timedeltas(timedelta(), timedelta(days=20)))
    kinds: st.SearchStrategy[LoggedEvent] = st.one_of(
        st.builds(
            lambda to, actor: LoggedEvent(start, actor, "status", {"to": to}),
            st.sampled_from(["new", "assigned", "in_progress", "waiting_customer", "resolved"]),
            st.sampled_from(["anna", "system"]),
        ),
        st.builds(lambda to: LoggedEvent(start, "anna", "priority", {"to": to}), st.sampled_from(list(Priority))),
        st.builds(lambda public: LoggedEvent(start, "anna", "comment", {"public": public}), st.booleans()),
        st.builds(
            lambda terms: LoggedEvent(start, "system", "terms", {}, terms),
            st.sampled_from([OFFICE, ALWAYS, LUNCH, Terms("break_fix")]),
        ),
    )
    events = [LoggedEvent(start, "system", "terms", {}, draw(st.sampled_from([OFFICE, ALWAYS, LUNCH])))]
    when = start
    for event in draw(st.lists(kinds, max_size=8)):
        when += draw(st.timedeltas(timedelta(), timedelta(days=3)))
        events.append(event._replace(at=when))
    return Story(start, tuple(events))


later = st.lists(st.timedeltas(timedelta(), timedelta(days=30)), min_size=2, max_size=2).map(sorted)


def counted(clock: Clock) -> timedelta:
    return sum((line.end - line.start for line in lines_of(clock) if line.why_not is None), timedelta())


@given(stories(), later)
def test_every_minute_is_on_a_line_and_they_add_up(story: Story, since: Sequence[timedelta]) -> None:
    for clock in clocks_of(story.course(), story.events[-1].at + since[0]):
        lines = list(lines_of(clock))
        assert counted(clock) == clock.used
        assert all(before.end == after.start for before, after in pairwise(lines))
        assert all(line.start < line.end for line in lines)
        assert not lines or (lines[0].start == story.opened_at and lines[-1].total == clock.used)


@given(stories(), later)
def test_time_alone_takes_nothing_back(story: Story, since: Sequence[timedelta]) -> None:
    course = story.course()
    earlier, later = (clocks_of(course, story.events[-1].at + one) for one in since)
    for before, after in zip(earlier, later, strict=True):
        assert before.used <= after.used
        assert before.warned_at in (None, after.warned_at)
        assert before.breached_at in (None, after.breached_at)
        assert before.due_at == after.due_at
        if before.state is BREACHED or before.state is MET:
            assert after.state is before.state


@given(stories(), later)
def test_nothing_changes_before_it_was_foretold(story: Story, since: Sequence[timedelta]) -> None:
    """So that who looks again at `next_at`, and at events, misses nothing."""
    now = story.events[-1].at + since[0]
    for name in ClockName:
        clock = next(one for one in clocks_of(story.course(), now) if one.name is name)
        if clock.next_at is None:
            much = next(one for one in clocks_of(story.course(), now + timedelta(days=400)) if one.name is name)
            assert (much.state, much.warned_at, much.breached_at) == (clock.state, clock.warned_at, clock.breached_at)
            continue
        assert clock.next_at > now
        just = next(one for one in clocks_of(story.course(), clock.next_at - timedelta.resolution) if one.name is name)
        then = next(one for one in clocks_of(story.course(), clock.next_at) if one.name is name)
        assert (just.warned_at, just.breached_at) == (clock.warned_at, clock.breached_at)
        assert (then.warned_at, then.breached_at) != (clock.warned_at, clock.breached_at)
        local = clock.next_at.astimezone(AMSTERDAM)
        terms = clock.segments[-1].terms
        assert terms.calendar.counted(clock.next_at - MINUTE, clock.next_at + MINUTE) > timedelta(), local
