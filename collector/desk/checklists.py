"""The checklists of rounds of maintenance: who did what and when, with what shows it, and what was left out and why."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import attachments
from collector.desk import events, maintenance, tickets
from collector.desk.events import SYSTEM, EventType
from collector.desk.maintenance import MaintenanceError, Round, Step, find_round, get_round

MAX_NOTE_CHARS = 2_000
MAX_TOLD = 3


async def tick(
    connection: AsyncConnection,
    ticket: int,
    item: int,
    *,
    note: str | None = None,
    evidence: str | None = None,
    attachment: int | None = None,
    actor: str,
    now: datetime,
) -> Round:
    """An item, by its number from 1, is done. Raises MaintenanceError."""
    round_, step = await _open_step(connection, ticket, item)
    note, evidence = _checked(note), _checked(evidence)
    if step.needs_evidence and evidence is None and attachment is None:
        raise MaintenanceError(
            f"item {item} of ticket {ticket} needs something that shows it: --evidence TEXT, or --attachment ID"
        )
    digest: str | None = None
    if attachment is not None:
        beside = select(attachments.c.digest).where(attachments.c.id == attachment, attachments.c.ticket == ticket)
        digest = await connection.scalar(beside)
        if digest is None:
            raise MaintenanceError(f"ticket {ticket} has no attachment {attachment}")
    done = replace(
        step,
        done_at=now.isoformat(timespec="seconds"),
        done_by=actor[:200],
        note=note,
        evidence=evidence,
        attachment=attachment,
        digest=digest,
        left_out=None,
        seen=None,
    )
    data = {"note": done.note, "evidence": done.evidence, "attachment": attachment, "digest": digest}
    told = {"done": True, **{name: value for name, value in data.items() if value is not None}}
    return await _change(connection, round_, item, done, told, actor=actor, now=now)


async def tick_seen(connection: AsyncConnection, ticket: int, item: int, evidence: str, *, now: datetime) -> None:
    """An item that the collector sees done, unless a person decided about it, or about the ticket, in between."""
    ticket_is_over = (await tickets.get_ticket(connection, ticket)).resolved_at is not None
    step = (await get_round(connection, ticket)).checklist[item - 1]
    if not (ticket_is_over or step.is_over) and step.seen is not None:
        await tick(connection, ticket, item, evidence=evidence, actor=SYSTEM, now=now)


async def untick(connection: AsyncConnection, ticket: int, item: int, *, actor: str, now: datetime) -> Round:
    """It was a mistake: the item is to be done. Raises MaintenanceError."""
    round_, step = await _open_step(connection, ticket, item)
    again = Step(step.nl, step.en, step.needs_evidence)
    return await _change(connection, round_, item, again, {"done": False}, actor=actor, now=now)


async def leave_out(
    connection: AsyncConnection, ticket: int, item: int | None, *, reason: str, actor: str, now: datetime
) -> Round:
    """An item, or with None all that is left, is not done, for a reason. Raises MaintenanceError."""
    why = _checked(reason)
    if why is None:
        raise MaintenanceError("say why it is left out")
    if item is not None:
        round_, step = await _open_step(connection, ticket, item)
        wanted = [(item, step)]
    else:
        round_ = await _open_round_of(connection, ticket)
        wanted = round_.left
    for number, step in wanted:
        left_out = Step(step.nl, step.en, step.needs_evidence, note=step.note, left_out=why)
        told = {"done": False, "reason": why}
        round_ = await _change(connection, round_, number, left_out, told, actor=actor, now=now)
    return round_


async def require_over(connection: AsyncConnection, ticket: int) -> None:
    """Raises MaintenanceError while a round's checklist is neither done nor left out; other tickets may be resolved."""
    round_ = await find_round(connection, ticket)
    if round_ is None or not round_.left:
        return
    told = "; ".join(f"{number} {step.en}" for number, step in round_.left[:MAX_TOLD])
    more = f" and {len(round_.left) - MAX_TOLD} more" if len(round_.left) > MAX_TOLD else ""
    raise MaintenanceError(
        f"ticket {ticket} is not over: {told}{more}; tick what is done with: maintenance tick {ticket} ITEM, and what "
        f"is not, with: maintenance leave-out {ticket} ITEM --reason …"
    )


async def _open_round_of(connection: AsyncConnection, ticket: int) -> Round:
    found = await tickets.get_ticket(connection, ticket)
    if found.resolved_at is not None:
        raise MaintenanceError(f"ticket {ticket} is {found.status}: reopen it first")
    return await get_round(connection, ticket)


async def _open_step(connection: AsyncConnection, ticket: int, item: int) -> tuple[Round, Step]:
    round_ = await _open_round_of(connection, ticket)
    if not 1 <= item <= len(round_.checklist):
        raise MaintenanceError(f"the checklist of ticket {ticket} has items 1 to {len(round_.checklist)}, not {item}")
    return round_, round_.checklist[item - 1]


async def _change(
    connection: AsyncConnection,
    round_: Round,
    item: int,
    step: Step,
    told: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
) -> Round:
    steps = [step if number == item else one for number, one in enumerate(round_.checklist, start=1)]
    await maintenance.set_checklist(connection, round_.ticket, steps)
    await tickets.touch(connection, round_.ticket)
    data = {"item": item, "text": step.en, **told}
    await events.add(connection, round_.ticket, EventType.CHECKLIST, data, actor=actor, now=now)
    await audit.record(
        connection, actor=actor, action="maintenance.checklist", subject=str(round_.ticket), now=now, data=data
    )
    return replace(round_, checklist=tuple(steps))


def _checked(text: str | None) -> str | None:
    """Raises MaintenanceError."""
    if text is None:
        return None
    kept = "".join(one for one in text if one == "\n" or one.isprintable()).strip()
    if len(kept) > MAX_NOTE_CHARS:
        raise MaintenanceError(f"a note has at most {MAX_NOTE_CHARS} characters, not {len(kept)}")
    return kept or None
