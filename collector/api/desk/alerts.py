"""`/alerts`: what holds and held, why it became what it became, and what a technician decides about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement

from collector.alerting import records
from collector.alerting.records import AlertState, Outcome
from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.contracts import ServiceModels
from collector.db.tables import alerts as table
from collector.incidents import reasons
from collector.incidents.convert import MAX_REASON_CHARS, NotConvertibleError, convert, decline

MAX_NUMBER = 2**53 - 1  # what every JSON reader holds exactly


class Alert(BaseModel):
    id: int
    rule: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: AlertState
    value: float | None = Field(description="Of the rule's expression, when this was last stored.")
    active_since: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    not_seen_since: datetime | None = Field(description="Where the state is unknown: when its device was last seen.")
    customer: str | None
    device: str | None
    outcome: Outcome
    reason: str
    ticket: int | None
    shadow_ticket: int | None
    rule_version: str


class AlertPage(Page[Alert]):
    pass


class Decision(BaseModel):
    at: datetime
    outcome: Outcome
    reason: str
    data: dict[str, Any] = Field(description="What it was made by: rule version, value, thresholds, what held it back.")


class Why(BaseModel):
    """Everything that was decided about an alert."""

    alert: int
    told: list[str] = Field(description="In plain words, a line for each step.")
    decisions: list[Decision] = Field(description="Oldest first.")


class AlertFilter(PagingByNumber):
    state: AlertState | None = Field(default=None, description="Only those in this state.")
    outcome: Outcome | None = Field(
        default=None, description="Only those that became this; asked and firing: those that wait for a decision."
    )
    customer: str | None = Field(default=None, max_length=64)
    device: str | None = Field(default=None, max_length=64)
    rule: str | None = Field(default=None, max_length=200, description="Only those of the rule of this name.")


class AlertId(Request):
    id: int = Field(ge=1, le=MAX_NUMBER)


async def list_alerts(call: Call[AlertFilter, None]) -> AlertPage:
    asked = call.params
    wanted = _seen_by(call.caller)
    if asked.after is not None:
        wanted.append(table.c.id < asked.after)
    for column, value in (
        (table.c.state, asked.state),
        (table.c.customer, asked.customer),
        (table.c.device, asked.device),
        (table.c.rule, asked.rule),
    ):
        if value is not None:
            wanted.append(column == value)
    if asked.outcome is not None:
        wanted.append(records.has_outcome(asked.outcome))
    rows = await records.list_alerts(call.connection, resolved_since=None, wanted=wanted, limit=asked.limit + 1)
    page, cursor = cut(rows, asked.limit, lambda row: int(str(row["id"])))
    return AlertPage(items=[Alert.model_validate(row) for row in page], next_cursor=cursor)


async def get_alert(call: Call[AlertId, Any]) -> Alert:
    wanted = [*_seen_by(call.caller), table.c.id == call.params.id]
    rows = await records.list_alerts(call.connection, resolved_since=None, wanted=wanted, limit=1)
    if not rows:
        raise missing(f"alert {call.params.id}")
    return Alert.model_validate(rows[0])


class Declining(Request):
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS, description="Why it becomes no ticket.")


@dataclass(frozen=True, slots=True)
class Decisions:
    models: ServiceModels

    async def convert_alert(self, call: Call[AlertId, None]) -> Alert:
        """Answers with the alert, which names its ticket."""
        await get_alert(call)
        try:
            await convert(call.connection, self.models, call.params.id, actor=call.caller.name, now=call.now)
        except NotConvertibleError as error:
            raise Refusal(409, "conflict", str(error)) from error
        return await get_alert(call)


async def decline_alert(call: Call[AlertId, Declining]) -> Alert:
    await get_alert(call)
    try:
        await decline(call.connection, call.params.id, reason=call.body.reason, actor=call.caller.name, now=call.now)
    except NotConvertibleError as error:
        raise Refusal(409, "conflict", str(error)) from error
    return await get_alert(call)


async def explain_alert(call: Call[AlertId, None]) -> Why:
    await get_alert(call)
    found = await reasons.why(call.connection, call.params.id)
    decisions = [
        Decision(at=one.at, outcome=one.outcome, reason=one.reason, data=dict(one.data)) for one in found.reasons
    ]
    return Why(alert=call.params.id, told=found.told(), decisions=decisions)


def _seen_by(caller: Caller) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if caller.customer is not None:
        wanted.append(table.c.customer == caller.customer)
    if caller.site is not None:
        wanted.append(table.c.labels["site"].as_string() == caller.site)
    return wanted


def operations(models: ServiceModels) -> list[AnyOperation]:
    one: AnyOperation = Operation("GET", "/alerts/{id}", "One alert", AlertId, None, Alert, get_alert)
    return [
        Operation("GET", "/alerts", "Alerts, newest first", AlertFilter, None, AlertPage, list_alerts),
        one,
        Operation("GET", "/alerts/{id}/why", "Why it has a ticket, or has none", AlertId, None, Why, explain_alert),
        Operation(
            "POST",
            "/alerts/{id}/convert",
            "Make what fires without a ticket a ticket",
            AlertId,
            None,
            Alert,
            Decisions(models).convert_alert,
            creates=True,
            works_on=one,
            description="A shadow, or what the plan leaves to a technician; with all that the ticket covers.",
        ),
        Operation(
            "POST",
            "/alerts/{id}/decline",
            "Make what the plan leaves to a technician no ticket",
            AlertId,
            Declining,
            Alert,
            decline_alert,
            works_on=one,
            description="As long as it fires, with all that the same ticket would cover.",
        ),
    ]
