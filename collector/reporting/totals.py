"""Totals over the fleet, counted in the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import FromClause, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import alerts, customers, shadow_tickets, ticket_clocks, tickets
from collector.desk.fields import TicketKind

# The outcome, as collector.alerting.records has it, a room of the same floor; written out, for the index of those.
ASKED = literal("asked", literal_execute=True)

Counts = dict[tuple[str, ...], int]  # label values → how many


@dataclass(frozen=True, slots=True)
class Totals:
    alerts: Counts  # (customer, severity, state), not resolved
    alerts_asked: Counts  # (customer,), not resolved, that wait for a technician's decision; every customer is there
    tickets: Counts  # (customer, status, priority), not closed, without rounds of maintenance
    tickets_opened: Counts  # (customer,), ever, likewise; every customer is there
    sla_clocks: Counts  # (clock, state, priority), of tickets that are not closed
    sla_breaches: Counts  # (clock, priority), ever
    shadow_tickets: Counts  # (customer,), open; every customer is there
    shadow_tickets_opened: Counts  # (customer,), ever; every customer is there


async def count_totals(connection: AsyncConnection) -> Totals:
    everyone = {(row.id,): 0 for row in await connection.execute(select(customers.c.id))}
    severity = alerts.c.labels["severity"].as_string()
    number = func.count()
    is_unplanned = tickets.c.kind != TicketKind.MAINTENANCE

    async def count(columns: Sequence[object], *conditions: object, source: FromClause | None = None) -> Counts:
        query = select(*columns, number).where(*conditions).group_by(*columns)  # type: ignore[call-overload]
        if source is not None:
            query = query.select_from(source)
        return {tuple(value or "" for value in row[:-1]): row[-1] for row in await connection.execute(query)}

    clocks = ticket_clocks.join(tickets, tickets.c.number == ticket_clocks.c.ticket)

    return Totals(
        alerts=await count([alerts.c.customer, severity, alerts.c.state], alerts.c.resolved_at.is_(None)),
        alerts_asked=everyone
        | await count([alerts.c.customer], alerts.c.resolved_at.is_(None), alerts.c.outcome == ASKED),
        tickets=await count(
            [tickets.c.customer, tickets.c.status, tickets.c.priority], tickets.c.closed_at.is_(None), is_unplanned
        ),
        tickets_opened=everyone | await count([tickets.c.customer], is_unplanned),
        sla_clocks=await count(
            [ticket_clocks.c.clock, ticket_clocks.c.state, tickets.c.priority],
            tickets.c.closed_at.is_(None),
            source=clocks,
        ),
        sla_breaches=await count(
            [ticket_clocks.c.clock, tickets.c.priority], ticket_clocks.c.breached_at.is_not(None), source=clocks
        ),
        shadow_tickets=everyone | await count([shadow_tickets.c.customer], shadow_tickets.c.resolved_at.is_(None)),
        shadow_tickets_opened=everyone | await count([shadow_tickets.c.customer]),
    )
