"""`technicians on-call`: who answers when nobody is at work."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from collector.cli.common import Row, actor, json_option, print_rows, with_database
from collector.cli.local_time import CLOCK, DAY, DAY_OR_TIME, LocalTime
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import on_call as store
from collector.desk.on_call import Coverage, Roster, Rota, Shift
from collector.desk.technicians import DEFAULT_TIME_ZONE
from collector.desk.working_hours import Span

TURNS = {"day": 1, "week": 7}

zone_option = click.option(
    "--time-zone", default=DEFAULT_TIME_ZONE, show_default=True, help="Of the times named here, as the IANA names it."
)


@click.group("on-call")
def on_call() -> None:
    """Shifts: who is asked while a contract's hours are open and nobody is at work.

    E.g. `technicians on-call list`.
    """


@on_call.command("add")
@click.argument("technician")
@click.option("--from", "starts", type=DAY_OR_TIME, required=True, help="When it begins.")
@click.option(
    "--until", "ends", type=DAY_OR_TIME, required=True, help="When it ends; of a day without a time, its end."
)
@zone_option
@with_database
async def add(
    database: Database, _settings: Settings, *, technician: str, starts: LocalTime, ends: LocalTime, time_zone: str
) -> None:
    """Add one shift, and print its id. What then overlaps is told.

    E.g. `technicians on-call add bob --from "2026-03-06 18:00" --until "2026-03-09 08:00"`.
    """
    now = system_clock()
    span = Span(starts.begins(time_zone), ends.is_over(time_zone))
    async with database.begin() as connection:
        shift = await store.add_shift(connection, technician, span, actor=actor(), now=now)
        roster = await store.roster(connection, now)
    click.echo(shift)
    _tell(roster)


@on_call.command("rota")
@click.argument("technicians", nargs=-1, required=True)
@click.option("--from", "starts", type=DAY, required=True, help="The day on which the first begins.")
@click.option("--by", "turn", type=click.Choice(list(TURNS)), default="week", show_default=True, help="How long each.")
@click.option("--turns", type=click.IntRange(1, store.MAX_TURNS), help="How many in all.  [default: each once]")
@click.option("--hand-over", type=CLOCK, default="09:00", show_default=True, help="When one follows the other.")
@zone_option
@with_database
async def rota(
    database: Database,
    _settings: Settings,
    *,
    technicians: tuple[str, ...],
    starts: datetime,
    turn: str,
    turns: int | None,
    hand_over: datetime,
    time_zone: str,
) -> None:
    """Add shifts for several technicians in turns, handed over at one local time, summer and winter.

    E.g. `technicians on-call rota anna bob --from 2026-03-02 --by week --turns 8 --hand-over 09:00`.
    """
    now = system_clock()
    wanted = Rota(technicians, starts.date(), TURNS[turn], turns or len(technicians), hand_over.time(), time_zone)
    async with database.begin() as connection:
        added = await store.add_rota(connection, wanted, actor=actor(), now=now)
        roster = await store.roster(connection, now)
    click.echo(f"added {len(added)} shift{'s' if len(added) > 1 else ''}", err=True)
    _tell(roster)


@on_call.command("list")
@click.option("--all", "everything", is_flag=True, help="Also shifts that are over.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, everything: bool, as_json: bool) -> None:
    """List shifts in their order; a gap between two is a row without a technician.

    E.g. `technicians on-call list --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        roster = await store.roster(connection, now, everything=everything)
    rows = [*(_row(one, roster.coverage, now) for one in roster.shifts), *map(_gap, roster.coverage.gaps)]
    print_rows(sorted(rows, key=lambda row: str(row["starts_at"])), as_json=as_json)
    _tell(roster)


@on_call.command("remove")
@click.argument("shift", type=int)
@with_database
async def remove(database: Database, _settings: Settings, shift: int) -> None:
    """Take a shift away, by its id.

    E.g. `technicians on-call remove 3`.
    """
    now = system_clock()
    async with database.begin() as connection:
        await store.remove_shift(connection, shift, actor=actor(), now=now)
        roster = await store.roster(connection, now)
    click.echo(f"removed shift {shift}", err=True)
    _tell(roster)


def _tell(roster: Roster) -> None:
    """Gaps, overlaps and who is absent, beside what the command prints."""
    for gap in roster.coverage.gaps:
        click.echo(f"note: nobody is on call {told(gap)}", err=True)
    for first, second in roster.coverage.overlaps:
        both = Span(second.starts_at, min(first.ends_at, second.ends_at))
        click.echo(f"note: {first.technician} and {second.technician} are both on call {told(both)}", err=True)
    tell_unanswered(roster.unanswered)


def tell_unanswered(found: Sequence[tuple[Shift, Span]]) -> None:
    """Shifts whose technician is absent, beside what the command prints."""
    for shift, span in found:
        click.echo(f"note: {shift.technician} is on call (shift {shift.id}) and absent {told(span)}", err=True)


def told(span: Span) -> str:
    """From when to when, for people."""
    hours = f"{(span.ends_at - span.starts_at) / timedelta(hours=1):,.1f}".removesuffix(".0")
    return (
        f"from {span.starts_at.astimezone():%Y-%m-%d %H:%M} to {span.ends_at.astimezone():%Y-%m-%d %H:%M %Z}, {hours} h"
    )


def _row(shift: Shift, found: Coverage, now: datetime) -> Row:
    others = [second.id for first, second in found.overlaps if first.id == shift.id]
    others += [first.id for first, second in found.overlaps if second.id == shift.id]
    return {
        "id": shift.id,
        "technician": shift.technician,
        "starts_at": shift.starts_at,
        "ends_at": shift.ends_at,
        "is_now": shift.span.holds(now),
        "overlaps": sorted(others),
    }


def _gap(gap: Span) -> Row:
    return {
        "id": None,
        "technician": None,
        "starts_at": gap.starts_at,
        "ends_at": gap.ends_at,
        "is_now": False,
        "overlaps": [],
    }
