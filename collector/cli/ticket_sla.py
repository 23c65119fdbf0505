"""`tickets sla`: where the SLA clocks of a ticket stand, and every stretch of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import click

from collector.cli.common import Row, json_option, print_fields, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.contracts.promises import load_sla_book
from collector.contracts.sla import Clock, lines_of
from collector.db.database import Database
from collector.desk.clock_reading import TicketClocks, clocks_now
from collector.desk.reading import get_ticket
from collector.fleet.contracts import list_contracts
from collector.fleet.tags import kind_and_tags
from collector.incidents.promised import Promised

SECOND = timedelta(seconds=1)


@click.command("sla")
@click.argument("number", type=int)
@click.option("--explain", is_flag=True, help="Show every stretch of the clocks: whether it counts, and why not.")
@json_option
@with_database
async def sla(database: Database, settings: Settings, number: int, *, explain: bool, as_json: bool) -> None:
    """Show where the SLA clocks of a ticket stand, by the clock on the wall where its contract holds.

    E.g. `tickets sla 1001 --explain`.
    """
    now = system_clock()
    models, book = load_service_models(settings.data), load_sla_book(settings.data)
    async with database.connect() as connection:
        ticket = await get_ticket(connection, number)
        contracts = {ticket.customer: await list_contracts(connection, ticket.customer)}
        of_device = ("", ()) if ticket.device is None else await kind_and_tags(connection, ticket.device)
        promised = Promised(lambda: contracts, lambda _device: of_device, models, book)
        clocks = await clocks_now(connection, number, promised, now)
    both = (clocks.response, clocks.resolution)
    if as_json:
        rows = [_row(clock) | ({"lines": _line_rows(clock)} if explain else {}) for clock in both]
        print_fields({**_promise(clocks), "as_of": now, "clocks": rows}, as_json=True)
        return
    click.echo(_told(clocks))
    click.echo()
    zone = ZoneInfo(clocks.terms.time_zone)
    print_rows([_shown(clock, zone) for clock in both], as_json=False)
    if explain:
        for clock in both:
            click.echo()
            click.echo("\n".join(_explained(clock, zone)))


def _promise(clocks: TicketClocks) -> Row:
    terms = clocks.terms
    return {
        "ticket": clocks.number,
        "plan": terms.plan,
        "sla": terms.sla,
        "support_level": terms.support_level,
        "hours": terms.hours,
        "time_zone": terms.time_zone,
        "escalate_to": terms.escalate_to,
    }


def _told(clocks: TicketClocks) -> str:
    terms = clocks.terms
    if terms.plan is None:
        return f"ticket {clocks.number}: its customer has no contract, so nothing is promised"
    if terms.sla is None:
        return f"ticket {clocks.number}: plan {terms.plan}, which promises nothing for it"
    return (
        f"ticket {clocks.number}: plan {terms.plan}, SLA {terms.sla}, support {terms.support_level} "
        f"({terms.hours}, {terms.time_zone})"
    )


def _row(clock: Clock) -> dict[str, object]:
    return {
        "clock": clock.name,
        "state": clock.state,
        "target_seconds": None if clock.target is None else clock.target // SECOND,
        "used_seconds": clock.used // SECOND,
        "due_at": clock.due_at,
        "warned_at": clock.warned_at,
        "breached_at": clock.breached_at,
        "met_at": clock.met_at,
    }


def _line_rows(clock: Clock) -> list[Row]:
    return [
        {
            "start": line.start,
            "end": line.end,
            "why_not": line.why_not,
            "total_seconds": line.total // SECOND,
            "priority": line.priority,
            "target_seconds": None if line.target is None else line.target // SECOND,
        }
        for line in lines_of(clock)
    ]


def _shown(clock: Clock, zone: ZoneInfo) -> Row:
    return {
        "clock": clock.name,
        "state": clock.state,
        "target": _length(clock.target),
        "used": _length(clock.used),
        "due": _local(clock.due_at, zone),
        "warned": _local(clock.warned_at, zone),
        "breached": _local(clock.breached_at, zone),
        "met": _local(clock.met_at, zone),
    }


def _explained(clock: Clock, zone: ZoneInfo) -> Iterator[str]:
    yield f"{clock.name}:"
    held: tuple[object, ...] = ()
    for line in lines_of(clock):
        holds = line.priority, line.target, line.terms.sla, line.terms.support_level
        if holds != held:
            promise = "nothing promised" if line.terms.sla is None else f"{line.terms.sla}, {line.terms.support_level}"
            yield f"  {line.priority}, {_promised(line.target)} ({promise})"
            held = holds
        why = "counts" if line.why_not is None else line.why_not
        span = f"{_local(line.start, zone)} - {_local(line.end, zone)}"
        yield f"    {span}  {_length(line.end - line.start):>10}  {_length(line.total):>9}  {why}"


def _promised(target: timedelta | None) -> str:
    return "no target" if target is None else f"target {_length(target)}"


def _local(at: datetime | None, zone: ZoneInfo) -> str | None:
    return None if at is None else at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _length(length: timedelta | None) -> str | None:
    """Hours, minutes and seconds; no days, of which nobody knows how long they are."""
    if length is None:
        return None
    minutes, seconds = divmod(length // SECOND, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
