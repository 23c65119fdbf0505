"""Who gets a ticket: decided from what technicians can, whom they serve, when they work and what they have in hand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from collector.contracts import Priority
from collector.contracts.business_time import BusinessCalendar
from collector.desk.technicians import Technician
from collector.desk.working_hours import Span, next_at_work, next_on_call

# How much of a technician's attention a ticket takes until it is resolved.
WEIGHTS: Mapping[str, int] = {Priority.P1: 8, Priority.P2: 4, Priority.P3: 2, Priority.P4: 1}
LOOK_AHEAD = timedelta(days=14)  # who comes back later than that is not waited for


@dataclass(frozen=True, slots=True)
class Job:
    """What matters of a ticket that nobody has."""

    number: int
    customer: str
    site: str | None
    category: str | None  # None: anybody may do it
    priority: str
    opened_at: datetime
    had: str | None = None  # whose it was before it was reopened
    respond_by: datetime | None = (
        None  # when the response clock runs out; None: it stands still, or nothing was promised
    )
    is_warned: bool = False  # most of the time to respond is gone
    is_support_open: bool = False  # the contract's hours: outside the technicians' own, who is on call is asked
    support_hours: BusinessCalendar | None = None  # the same, at any time; None: nothing was promised
    is_escalated: bool = False
    escalate_to: str | None = None  # as was agreed; None: nothing was
    is_new: bool = True  # else it waits for the customer, and whoever had it has left


@dataclass(frozen=True, slots=True)
class Member:
    """A technician, with when he or she is away or on call, and what is in hand."""

    technician: Technician
    away: tuple[Span, ...] = ()
    on_call: tuple[Span, ...] = ()
    open_tickets: int = 0
    load: int = 0  # their weights together

    @property
    def id(self) -> str:
        return self.technician.id

    @property
    def is_full(self) -> bool:
        return self.open_tickets >= self.technician.max_open

    def unfit(self, job: Job) -> str | None:
        """What keeps this technician from such a ticket at any time; None: nothing does."""
        one = self.technician
        if one.left_at is not None:
            return "has left"
        if one.skills and job.category is not None and job.category not in one.skills:
            return f"lacks the skill {job.category}"
        if one.serves and not {job.customer, f"{job.customer}/{job.site}"} & set(one.serves):
            return f"does not serve {job.customer}" + (f"/{job.site}" if job.site else "")
        return None


class Team:
    """The technicians at one moment. Who is where is looked up once, however many tickets are decided."""

    def __init__(self, members: Collection[Member], now: datetime) -> None:
        self.now = now
        self._members = {member.id: member for member in members}
        self._returns: dict[str, datetime | None] = {}
        self._answers: dict[tuple[str, BusinessCalendar], datetime | None] = {}
        self._away = {one.id for one in members if any(span.holds(now) for span in one.away)}
        there = [one for one in members if one.id not in self._away]
        self._at_work = {one.id for one in there if one.technician.office_hours.is_open(now)}
        self._on_call = {one.id for one in there if any(span.holds(now) for span in one.on_call)}

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def is_at_work(self, member: Member) -> bool:
        return member.id in self._at_work

    def is_on_call(self, member: Member) -> bool:
        return member.id in self._on_call

    def where(self, member: Member) -> str:
        return "is absent" if member.id in self._away else "is not at work"

    def returns(self, member: Member) -> datetime | None:
        """When the technician is at work next, within LOOK_AHEAD."""
        if member.id not in self._returns:
            hours, until = member.technician.office_hours, self.now + LOOK_AHEAD
            self._returns[member.id] = next_at_work(hours, member.away, self.now, until)
        return self._returns[member.id]

    def answers(self, member: Member, support: BusinessCalendar) -> datetime | None:
        """When the technician is on call next while support is open, within LOOK_AHEAD."""
        key = member.id, support
        if key not in self._answers:
            until = self.now + LOOK_AHEAD
            self._answers[key] = next_on_call(member.on_call, support, member.away, self.now, until)
        return self._answers[key]

    def give(self, technician: str, priority: str) -> None:
        """One more ticket in hand."""
        member = self._members[technician]
        self._members[technician] = replace(
            member, open_tickets=member.open_tickets + 1, load=member.load + WEIGHTS.get(priority, 1)
        )


class Verdict(StrEnum):
    ASSIGN = "assign"
    WAIT = "wait"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a ticket, and why. `why_not` tells of each technician who is not asked what stands in the way."""

    verdict: Verdict
    why: str
    assignee: str | None = None
    until: datetime | None = None  # for whom it waits is at work, or on call, from then on
    why_not: Mapping[str, str] = field(default_factory=dict)


def decide(job: Job, team: Team) -> Decision:
    """The first of these that holds: a qualified technician at work; one on call, if the contract's hours are open;
    wait for the first who will be at work, or on call in the contract's hours, before the response clock runs out;
    escalate.

    Of several the one with the least in hand is asked, those who have as many tickets as they take after all others,
    and among equals the first by name."""
    why_not = {member.id: unfit for member in team.members if (unfit := member.unfit(job)) is not None}
    fit = [member for member in team.members if member.id not in why_not]
    able, where = [member for member in fit if team.is_at_work(member)], "at work"
    if not able and job.is_support_open:
        able, where = [member for member in fit if team.is_on_call(member)], "on call, and nobody who could is at work"
    why_not |= {member.id: team.where(member) for member in fit if member not in able}
    return _chosen(job, able, where, why_not) if able else _waiting(job, fit, team, why_not)


def _chosen(job: Job, able: Sequence[Member], where: str, why_not: Mapping[str, str]) -> Decision:
    def rank(member: Member) -> tuple[bool, bool, int, int, str]:
        return member.is_full, member.id != job.had, member.load, member.open_tickets, member.id

    first, *others = sorted(able, key=rank)
    reasons = [where]
    if first.id == job.had:
        reasons.append("had it before")
    elif not others:
        reasons.append("the only one who could")
    else:
        reasons.append(f"the least in hand of {len(able)}: {first.open_tickets} open, weight {first.load}")
    if first.is_full:
        reasons.append(f"all of them have as many as they take (max_open {first.technician.max_open})")
    told = {one.id: f"has more in hand: {one.open_tickets} open, weight {one.load}" for one in others}
    told |= {one.id: f"has as many as taken: {one.open_tickets}" for one in others if one.is_full and not first.is_full}
    told |= {one.id: "equal, and later by name" for one in others if rank(one)[:-1] == rank(first)[:-1]}
    return Decision(Verdict.ASSIGN, "; ".join(reasons), first.id, why_not={**why_not, **told})


def _waiting(job: Job, fit: Sequence[Member], team: Team, why_not: Mapping[str, str]) -> Decision:
    comes = [(at, member.id, "at work") for member in fit if (at := team.returns(member)) is not None]
    if (support := job.support_hours) is not None:
        comes += [(at, member.id, "on call") for member in fit if (at := team.answers(member, support)) is not None]
    if not comes:
        days = LOOK_AHEAD.days
        nobody = (
            f"nobody who could is at work or on call within {days} days" if fit else "there is nobody who could do it"
        )
        return Decision(Verdict.ESCALATE, nobody, why_not=why_not)
    at, who, where = min(comes)
    first = f"{who}, the first who could, is {where} from {_time(at)}"
    if job.is_warned:
        return Decision(Verdict.ESCALATE, f"the time to respond is nearly over; {first}", why_not=why_not)
    if job.respond_by is not None and at > job.respond_by:
        return Decision(Verdict.ESCALATE, f"a response is due by {_time(job.respond_by)}; {first}", why_not=why_not)
    return Decision(Verdict.WAIT, f"waits; {first}", until=at, why_not=why_not)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
