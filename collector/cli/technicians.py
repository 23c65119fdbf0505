"""`technicians`: who works on tickets, at what, for whom and when."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.local_time import DAY_OR_TIME, LocalTime
from collector.cli.on_call import on_call, tell_unanswered, told
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts.promises import load_sla_book
from collector.db.database import Database
from collector.desk import technicians as store
from collector.desk.leaving import leave
from collector.desk.on_call import left_unanswered, list_shifts
from collector.desk.technicians import LANGUAGES, Absence, Profile, Technician, shown
from collector.desk.working_hours import Span

COLUMNS = ["id", "name", "at_work", "away_until", "hours", "skills", "serves", "groups"]

C = TypeVar("C", bound=Callable[..., Any])


class NameList(click.ParamType[tuple[str, ...]]):
    """Names, apart by commas; nothing between the quotes is an empty list."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


def profile_options(*, is_new: bool) -> Callable[[C], C]:
    """What `add` and `change` take alike; what is left out has a default for who is new, and stays as it is else."""

    def default(value: str) -> str:
        return f"  [default: {value}]" if is_new else ""

    names = NameList()
    options = (
        click.option("--email", help="Where mail goes."),
        click.option("--language", type=click.Choice(LANGUAGES), help=f"Of the mail.{default('nl')}"),
        click.option("--skills", type=names, help=f"Categories of tickets, apart by commas.{default('all')}"),
        click.option("--serves", type=names, help=f"Customers or sites: acme,bakkerij/hq.{default('all')}"),
        click.option("--groups", type=names, help="Groups that tickets escalate to: second-line."),
        click.option(
            "--hours",
            help="When at work: 'Mon-Fri 08:00-12:00, Mon-Fri 13:00-17:00'." + default("working days 08:00-18:00"),
        ),
        click.option("--time-zone", help=f"Of the hours, as the IANA names it.{default('Europe/Amsterdam')}"),
        click.option("--holidays", help=f"The country whose public holidays are free; none: none are.{default('NL')}"),
        click.option("--max-open", type=int, help=f"Tickets in hand before others are asked first.{default('20')}"),
    )

    def with_options(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


@click.group()
def technicians() -> None:
    """Technicians, their absences and who is on call.

    E.g. `technicians list`.
    """


technicians.add_command(on_call)


@technicians.command("add")
@click.argument("technician")
@click.option("--name", required=True, help="The full name.")
@profile_options(is_new=True)
@with_database
async def add(database: Database, _settings: Settings, /, *, technician: str, **given: Any) -> None:  # noqa: ANN401 - options
    """Add a technician. From the first one on, tickets are assigned by themselves.

    E.g. `technicians add anna --name "Anna de Vries" --skills network,printers --groups second-line`.
    """
    profile = Profile(**_given(given))
    async with database.begin() as connection:
        await store.add_technician(connection, technician, profile, actor=actor(), now=system_clock())
    click.echo(f"added technician {technician}", err=True)


@technicians.command("list")
@click.option("--all", "everybody", is_flag=True, help="Also those who have left.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, everybody: bool, as_json: bool) -> None:
    """List technicians, and who of them is at work now.

    E.g. `technicians list --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_technicians(connection, everybody=everybody)
        away = await store.list_absences(connection, not_over_at=now)
    print_rows([_row(one, away, now) for one in found], as_json=as_json, columns=COLUMNS)


@technicians.command("show")
@click.argument("technician")
@json_option
@with_database
async def show(database: Database, _settings: Settings, technician: str, as_json: bool) -> None:
    """Show a technician, with absences and shifts to come.

    E.g. `technicians show anna`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.get_technician(connection, technician)
        away = await store.list_absences(connection, technician=technician, not_over_at=now)
        shifts = await list_shifts(connection, technician=technician, not_over_at=now)
    row = {
        **_row(found, away, now),
        "absences": [{"from": one.starts_at, "until": one.ends_at, "reason": one.reason} for one in away],
        "on_call": [{"id": one.id, "from": one.starts_at, "until": one.ends_at} for one in shifts],
    }
    print_fields(row, as_json=as_json)


@technicians.command("change")
@click.argument("technician")
@click.option("--name", help="The full name.")
@profile_options(is_new=False)
@with_database
async def change(database: Database, _settings: Settings, /, *, technician: str, **given: Any) -> None:  # noqa: ANN401 - options
    """Change what is known of a technician; what is not named stays. `--skills ""` is all of them again.

    E.g. `technicians change anna --hours "Mon-Thu 08:00-17:00"`.
    """
    changes = _given(given)
    if not changes:
        raise click.UsageError("name what to change, such as --hours")
    async with database.begin() as connection:
        await store.change_technician(connection, technician, changes, actor=actor(), now=system_clock())
    click.echo(f"changed technician {technician}", err=True)


@technicians.command("absent")
@click.argument("technician")
@click.option("--from", "starts", type=DAY_OR_TIME, help="A day, or a day and time of their zone.  [default: now]")
@click.option("--until", "ends", type=DAY_OR_TIME, required=True, help="The same; a day without a time is all of it.")
@click.option("--reason", required=True, help="Why, such as holiday.")
@with_database
async def absent(
    database: Database, _settings: Settings, *, technician: str, starts: LocalTime | None, ends: LocalTime, reason: str
) -> None:
    """Note days off. No ticket is assigned to a technician meanwhile; those in hand stay.

    E.g. `technicians absent anna --from 2026-07-06 --until 2026-07-24 --reason holiday`.
    """
    now = system_clock()
    async with database.begin() as connection:
        zone = (await store.get_technician(connection, technician)).time_zone
        span = Span(now if starts is None else starts.begins(zone), ends.is_over(zone))
        absence = await store.add_absence(connection, technician, span, reason=reason, actor=actor(), now=now)
        unanswered = await left_unanswered(connection, absence, now=now)
    click.echo(f"{technician} is absent until {span.ends_at.astimezone():%Y-%m-%d %H:%M %Z}", err=True)
    tell_unanswered(unanswered)


@technicians.command("back")
@click.argument("technician")
@with_database
async def back(database: Database, _settings: Settings, technician: str) -> None:
    """End the absence that holds now.

    E.g. `technicians back anna`.
    """
    async with database.begin() as connection:
        ended = await store.end_absences(connection, technician, actor=actor(), now=system_clock())
    click.echo(f"{technician} is back" if ended else f"{technician} was not absent", err=True)


@technicians.command("leave")
@click.argument("technician")
@click.option("--to", help="Who takes over tickets and shifts.  [default: tickets are assigned anew]")
@json_option
@with_database
async def leave_command(
    database: Database, settings: Settings, *, technician: str, to: str | None, as_json: bool
) -> None:
    """A technician leaves: tickets and shifts go to others, and nothing is assigned any more. History keeps the name.

    E.g. `technicians leave anna --to bob`.
    """
    async with database.begin() as connection:
        left = await leave(
            connection, technician, to=to, escalate_to=settings.escalate_to, actor=actor(), now=system_clock()
        )
    book = load_sla_book(settings.data)
    slas = book.escalating_to(technician)
    whose = to or "nobody"
    row = {
        "technician": technician,
        "to": to,
        "tickets": list(left.tickets),
        "shifts": left.shifts,
        "gaps": [{"starts_at": gap.starts_at, "ends_at": gap.ends_at} for gap in left.gaps],
        "escalated": list(left.escalated),
        "escalated_to": left.escalated_to,
        "slas": slas,
        "accounts": list(left.accounts),
        "emptied_groups": list(left.emptied_groups),
        "stopped_on": left.stopped_on,
    }
    print_fields(row, as_json=as_json)
    for gap in left.gaps:
        click.echo(f"note: nobody is on call {told(gap)}", err=True)
    if left.stopped_on is not None:
        click.echo(f"note: the time of {technician} that ran on ticket {left.stopped_on} ended", err=True)
    if left.tickets:
        click.echo(f"note: open tickets are {whose}'s now: {', '.join(map(str, left.tickets))}", err=True)
    if left.escalated:
        numbers = ", ".join(map(str, left.escalated))
        if left.escalated_to is None:
            click.echo(f"note: open tickets are escalated to {technician}: {numbers}; see to them", err=True)
        else:
            click.echo(f"note: what was escalated to {technician} is to {left.escalated_to} now: {numbers}", err=True)
    for group in left.emptied_groups:
        named = [*(f"SLA {name}" for name in book.escalating_to(group))]
        named += ["the setting escalate_to"] if settings.escalate_to == group else []
        told_of = f", to whom {' and '.join(named)} escalate" if named else ""
        click.echo(f"note: nobody is in group {group} any more{told_of}", err=True)
    if slas:
        click.echo(f"note: in sla.yaml, {', '.join(slas)} escalates to {technician}: name another", err=True)
    if settings.escalate_to == technician:
        click.echo(f"note: the setting escalate_to names {technician}: name another", err=True)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _row(technician: Technician, away: list[Absence], now: datetime) -> Row:
    mine = [one for one in away if one.technician == technician.id and one.span.holds(now)]
    until = max((one.ends_at for one in mine), default=None)
    is_there = technician.left_at is None and until is None and technician.office_hours.is_open(now)
    return {
        "id": technician.id,
        **shown(technician),
        "at_work": is_there,
        "away_until": until,
        "created_at": technician.created_at,
        "left_at": technician.left_at,
    }
