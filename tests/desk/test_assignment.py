"""Who gets a ticket, decided without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts import OfficeHours, Priority
from collector.contracts.business_time import NO_DAYS_OFF, calendar_of
from collector.desk import assignment
from collector.desk.assignment import WEIGHTS, Decision, Job, Member, Team, Verdict
from collector.desk.technicians import Technician
from collector.desk.working_hours import Span

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Amsterdam
EVENING = NOW + timedelta(hours=10)
JOB = Job(1001, "acme", "hq", "network", "P2", NOW)


def member(name: str, *, load: int = 0, open_tickets: int = 0, away: Span | None = None, **more: object) -> Member:
    technician = replace(Technician(name.title()), id=name, **more)  # type: ignore[arg-type]  # as each test names them
    return Member(technician, (away,) if away else (), (), open_tickets, load)


def decide(job: Job, members: list[Member], now: datetime) -> Decision:
    return assignment.decide(job, Team(members, now))


def on_call(one: Member) -> Member:
    return replace(one, on_call=(Span(NOW, NOW + timedelta(days=7)),))


def test_the_one_with_the_least_in_hand_is_asked_and_it_is_told_why() -> None:
    team = [member("anna", load=4, open_tickets=1), member("bob", load=2, open_tickets=2), member("carl", load=8)]
    assert decide(JOB, team, NOW) == Decision(
        Verdict.ASSIGN,
        "at work; the least in hand of 3: 2 open, weight 2",
        "bob",
        why_not={
            "anna": "has more in hand: 1 open, weight 4",
            "carl": "has more in hand: 0 open, weight 8",
        },
    )


def test_among_equals_the_first_by_name_is_asked_in_whatever_order_they_come() -> None:
    team = [member("carl"), member("anna"), member("bob")]
    assert {decide(JOB, order, NOW).assignee for order in (team, team[::-1])} == {"anna"}


def test_who_has_as_many_as_taken_is_asked_last() -> None:
    full, busy = member("anna", open_tickets=2, max_open=2), member("bob", load=50, open_tickets=9)
    assert decide(JOB, [full, busy], NOW).assignee == "bob"
    alone = decide(JOB, [full], NOW)
    assert alone.assignee == "anna" and "as many as they take" in alone.why


def test_who_had_it_before_gets_it_back() -> None:
    team = [member("anna"), member("bob", load=3)]
    assert decide(replace(JOB, had="bob"), team, NOW).assignee == "bob"
    absent = replace(team[1], away=(Span(NOW, EVENING),))
    assert decide(replace(JOB, had="bob"), [team[0], absent], NOW).assignee == "anna"


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (member("bob", skills=("printers",)), "lacks the skill network"),
        (member("bob", serves=("bakkerij", "acme/ny")), "does not serve acme/hq"),
        (member("bob", left_at=NOW), "has left"),
        (member("bob", away=Span(NOW, EVENING)), "is absent"),
        (member("bob", hours="Mon-Fri 13:00-17:00"), "is not at work"),
    ],
)
def test_who_cannot_is_told_with_what_stands_in_the_way(unfit: Member, why: str) -> None:
    decision = decide(JOB, [unfit, member("anna", skills=("network",), serves=("acme/hq",), load=99)], NOW)
    assert (decision.assignee, decision.why_not) == ("anna", {"bob": why})


def test_who_is_on_call_is_asked_only_while_support_is_open_and_nobody_is_at_work() -> None:
    team = [member("anna"), on_call(member("bob"))]
    assert decide(replace(JOB, is_support_open=True), team, NOW).assignee == "anna"
    assert decide(replace(JOB, is_support_open=True), team, EVENING).assignee == "bob"
    assert decide(JOB, team, EVENING).verdict is Verdict.WAIT
    ill = replace(team[1], away=(Span(NOW, EVENING + timedelta(hours=1)),))
    assert decide(replace(JOB, is_support_open=True), [team[0], ill], EVENING).assignee is None


def test_a_ticket_waits_for_who_is_in_time_and_else_escalates() -> None:
    team = [member("anna"), member("bob", hours="Mon-Fri 06:00-12:00")]
    morning = datetime(2026, 3, 3, 5, 0, tzinfo=UTC)
    waits = decide(replace(JOB, respond_by=morning), team, EVENING)
    assert (waits.verdict, waits.until) == (Verdict.WAIT, morning)
    assert waits.why == "waits; bob, the first who could, is at work from 2026-03-03 05:00 UTC"
    assert decide(JOB, team, EVENING).verdict is Verdict.WAIT  # nothing was promised
    late = decide(replace(JOB, respond_by=morning - timedelta(minutes=1)), team, EVENING)
    assert (late.verdict, late.until) == (Verdict.ESCALATE, None) and "due by 2026-03-03 04:59 UTC" in late.why
    warned = decide(replace(JOB, is_warned=True, respond_by=morning), team, EVENING)
    assert warned.verdict is Verdict.ESCALATE
    unskilled = decide(replace(JOB, category="telephony"), [member("anna", skills=("network",))], NOW)
    assert unskilled.verdict is Verdict.ESCALATE
    gone = decide(JOB, [member("anna", away=Span(NOW, NOW + timedelta(days=30)))], NOW)
    assert gone.verdict is Verdict.ESCALATE and "within 14 days" in gone.why


def test_a_ticket_waits_for_who_is_on_call_from_later_on_if_support_is_open_then() -> None:
    """At 20:00 in Amsterdam; anna works from 08:00, bob's shift begins at 23:00."""
    shift = Span(NOW + timedelta(hours=13), NOW + timedelta(days=7))
    team = [member("anna"), replace(member("bob"), on_call=(shift,))]
    always, office = (
        calendar_of(OfficeHours.parse(hours, "Europe/Amsterdam"), NO_DAYS_OFF)
        for hours in ("Mon-Sun 00:00-24:00", "Mon-Fri 09:00-17:00")
    )
    due = replace(JOB, is_support_open=True, support_hours=always, respond_by=shift.starts_at)
    waits = decide(due, team, EVENING)
    assert (waits.verdict, waits.until) == (Verdict.WAIT, shift.starts_at)
    assert waits.why == "waits; bob, the first who could, is on call from 2026-03-02 22:00 UTC"
    sooner = replace(due, respond_by=shift.starts_at - timedelta(minutes=1))
    assert decide(sooner, team, EVENING).verdict is Verdict.ESCALATE
    ill = replace(team[1], away=(Span(EVENING, shift.starts_at + timedelta(hours=1)),))
    assert decide(replace(JOB, support_hours=always), [ill], EVENING).until == ill.away[0].ends_at
    closed = decide(replace(JOB, support_hours=office), team, EVENING)
    assert closed.why == "waits; anna, the first who could, is at work from 2026-03-03 07:00 UTC"
    only = replace(team[1], technician=replace(team[1].technician, hours="Sat 08:00-18:00"))
    assert decide(replace(JOB, support_hours=office), [only], EVENING).until == datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    assert decide(JOB, [only], EVENING).until == datetime(2026, 3, 7, 7, 0, tzinfo=UTC)  # nothing was promised


HOURS = st.sampled_from(["Mon-Fri 08:00-18:00", "Mon-Sun 00:00-24:00", "Mon-Fri 13:00-17:00, Sat 09:00-12:00"])
SPANS = st.tuples(st.integers(-48, 48), st.integers(1, 48)).map(
    lambda hours: Span(NOW + timedelta(hours=hours[0]), NOW + timedelta(hours=sum(hours)))
)


@st.composite
def teams(draw: st.DrawFn) -> list[Member]:
    return [
        Member(
            Technician(
                name,
                id=name,
                skills=tuple(draw(st.sets(st.sampled_from(["network", "printers"])))),
                serves=tuple(draw(st.sets(st.sampled_from(["acme", "acme/hq", "bakkerij"])))),
                hours=draw(HOURS),
                max_open=draw(st.integers(1, 4)),
                left_at=draw(st.none() | st.just(NOW)),
            ),
            tuple(draw(st.lists(SPANS, max_size=2))),
            tuple(draw(st.lists(SPANS, max_size=2))),
            draw(st.integers(0, 5)),
            draw(st.integers(0, 20)),
        )
        for name in ("anna", "bob", "carl", "dora")[: draw(st.integers(0, 4))]
    ]


JOBS = st.builds(
    Job,
    st.just(1),
    st.sampled_from(["acme", "bakkerij"]),
    st.sampled_from(["hq", "ny", None]),
    st.sampled_from(["network", "printers", "storage", None]),
    st.sampled_from([*Priority]),
    st.just(NOW),
    respond_by=st.none() | st.integers(0, 60).map(lambda hours: NOW + timedelta(hours=hours)),
    is_support_open=st.booleans(),
    is_warned=st.booleans(),
)
TIMES = st.integers(0, 7 * 24).map(lambda hours: NOW + timedelta(hours=hours))


@given(teams(), JOBS, TIMES)
def test_nobody_is_asked_who_has_left_or_is_absent_or_could_not(team: list[Member], job: Job, now: datetime) -> None:
    decision = decide(job, team, now)
    could = [
        one
        for one in team
        if one.technician.left_at is None
        and (not one.technician.skills or job.category is None or job.category in one.technician.skills)
        and (
            not one.technician.serves
            or job.customer in one.technician.serves
            or f"{job.customer}/{job.site}" in one.technician.serves
        )
        and not any(span.starts_at <= now < span.ends_at for span in one.away)
    ]
    at_work = [one for one in could if one.technician.office_hours.is_open(now)]
    on_call = [one for one in could if any(span.starts_at <= now < span.ends_at for span in one.on_call)]
    able = at_work or (on_call if job.is_support_open else [])
    assert (decision.verdict is Verdict.ASSIGN) == bool(able)
    if able:
        chosen = next(one for one in able if one.id == decision.assignee)
        roomy = [one for one in able if one.open_tickets < one.technician.max_open]
        assert chosen in (roomy or able)
        assert chosen.load == min(one.load for one in roomy or able)
    elif decision.verdict is Verdict.WAIT:
        assert decision.until is not None and now < decision.until and not job.is_warned
        assert job.respond_by is None or decision.until <= job.respond_by
    assert set(decision.why_not) == {one.id for one in team} - {decision.assignee}


@given(st.lists(st.sampled_from([*Priority]), max_size=60), st.integers(2, 5))
def test_load_is_spread_evenly(priorities: list[Priority], technicians: int) -> None:
    """Nobody carries more than another by more than one ticket of the highest weight."""
    team = Team([member(name, max_open=1000) for name in "abcde"[:technicians]], NOW)
    for priority in priorities:
        chosen = assignment.decide(replace(JOB, priority=priority), team).assignee
        assert chosen is not None
        team.give(chosen, priority)
    loads = [one.load for one in team.members]
    assert sum(loads) == sum(WEIGHTS[priority] for priority in priorities)
    assert max(loads) - min(loads) <= max(WEIGHTS.values())
