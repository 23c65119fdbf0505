"""What was maintained in a month, as programs read it: the same from the command line and from the API."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from collector.reporting.maintenance import MaintenanceReport, RoundReport, RoundState, Told


class Evidence(BaseModel):
    item: int = Field(description="Its number on the checklist, from 1.")
    en: str
    nl: str
    done_at: datetime | None
    done_by: str | None
    evidence: str | None
    attachment: int | None = Field(description="The file beside the ticket that shows it.")
    digest: str | None = Field(description="SHA-256 of that file, in hexadecimal.")


class LeftOut(BaseModel):
    item: int
    en: str
    nl: str
    reason: str | None


class RoundOfMonth(BaseModel):
    plan: int
    task: str
    title: str
    due: str = Field(description="By the clock of the plan's time zone.", examples=["2026-03-08 02:00"])
    due_at: datetime
    state: RoundState = Field(description="`skipped`: nothing of it was done; `missed`: it never opened.")
    ticket: int | None
    items: int = Field(description="On its checklist.")
    items_done: int
    minutes: int = Field(description="Logged on its ticket.")
    evidence: list[Evidence] = Field(description="What shows that items were done.")
    left_out: list[LeftOut]


class MonthlyMaintenance(BaseModel):
    customer: str
    name: str
    month: str
    planned: int = Field(description="All rounds of the month.")
    done: int
    skipped: int = Field(description="Those missed, too.")
    minutes: int
    rounds: list[RoundOfMonth]


def told(report: MaintenanceReport) -> MonthlyMaintenance:
    return MonthlyMaintenance(
        customer=report.customer,
        name=report.name,
        month=str(report.month),
        planned=report.planned,
        done=report.done,
        skipped=report.skipped,
        minutes=report.minutes,
        rounds=[told_round(one) for one in report.rounds],
    )


def told_round(report: RoundReport) -> RoundOfMonth:
    return RoundOfMonth(
        plan=report.plan.id,
        task=report.plan.task,
        title=report.plan.title,
        due=due_by_its_clock(report),
        due_at=report.due_at,
        state=report.state,
        ticket=report.ticket,
        items=report.items,
        items_done=report.items_done,
        minutes=report.minutes,
        evidence=[_evidence(one) for one in report.evidence],
        left_out=[
            LeftOut(item=one.item, en=one.step.en, nl=one.step.nl, reason=one.step.left_out) for one in report.left_out
        ],
    )


def due_by_its_clock(report: RoundReport) -> str:
    """Such as `2026-03-08 02:00`."""
    return f"{report.due_at.astimezone(ZoneInfo(report.plan.time_zone)):%Y-%m-%d %H:%M}"


def _evidence(told: Told) -> Evidence:
    step = told.step
    return Evidence(
        item=told.item,
        en=step.en,
        nl=step.nl,
        done_at=None if step.done_at is None else datetime.fromisoformat(step.done_at),
        done_by=step.done_by,
        evidence=step.evidence,
        attachment=step.attachment,
        digest=step.digest,
    )
