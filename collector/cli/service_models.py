"""`contracts models`, `contracts slas`, `contracts support-levels`: what can be sold and promised, as the files say."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

import click

from collector.cli.common import Row, has_state, json_option, print_fields, print_rows, with_settings
from collector.cli.contract_words import charged
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import ServiceModel, load_service_models, model_named
from collector.contracts.promises import Sla, SupportLevel, load_sla_book
from collector.db.database import Database
from collector.desk.team import reachable

T = TypeVar("T")

NOBODY = "escalates_to_nobody"
SLA_COLUMNS = ["sla", "priority", "response", "resolution", "warn_at", "escalate_to"]
MODEL_COLUMNS = ["name", "title", "on_alert", "sla", "support_level"]


@click.command("models")
@click.argument("name", required=False)
@json_option
@with_settings
def models(settings: Settings, name: str | None, as_json: bool) -> None:
    """Show the service models that a contract may name, or all about one of them.

    E.g. `contracts models monthly`.
    """
    known = load_service_models(settings.data)
    if name is None:
        print_rows([_model_row(model) for model in known.values()], as_json=as_json, columns=MODEL_COLUMNS)
        return
    row = _model_row(model_named(known, name))
    if as_json:
        print_fields(row, as_json=True)
        return
    onboarding = known[name].onboarding
    plain = {key: value for key, value in row.items() if key not in ("onboarding", "charge")}
    print_fields({**plain, **charged(known[name])}, as_json=False)
    if onboarding:
        click.echo()
        print_rows([{"step": number, **step.model_dump()} for number, step in enumerate(onboarding, 1)], as_json=False)


@click.command("slas")
@click.argument("name", required=False)
@json_option
@with_settings
def slas(settings: Settings, name: str | None, as_json: bool) -> None:
    """Show the SLAs that there are with their targets, or one of them. Who is no technician and no group of one, and is
    escalated to, is marked.

    E.g. `contracts slas standard`.
    """
    known = load_sla_book(settings.data).slas
    wanted = known if name is None else {name: _named(known, name, "SLA")}
    known_people = asyncio.run(_reachable(settings)) if has_state(settings) else None
    rows = [row for key, sla in wanted.items() for row in _sla_rows(key, sla, known_people)]
    if not as_json:
        rows = [{**row, "escalate_to": f"{row['escalate_to']} (nobody)"} if row[NOBODY] else row for row in rows]
    print_rows(rows, as_json=as_json, columns=SLA_COLUMNS)


async def _reachable(settings: Settings) -> frozenset[str]:
    async with await Database.open(settings.database) as database, database.connect() as connection:
        return await reachable(connection)


@click.command("support-levels")
@click.argument("name", required=False)
@click.option("--year", type=click.IntRange(2000, 2100), help="Whose closed days are listed.  [default: this year]")
@json_option
@with_settings
def support_levels(settings: Settings, name: str | None, year: int | None, as_json: bool) -> None:
    """Show the support levels that there are, or one of them with the days on which it is closed, by name.

    E.g. `contracts support-levels 8x5 --year 2027`.
    """
    known = load_sla_book(settings.data).support_levels
    if name is None:
        print_rows([_level_row(key, level) for key, level in known.items()], as_json=as_json)
        return
    level = _named(known, name, "support level")
    days = level.calendar.closed_days(year or system_clock().year)
    closed = [{"date": day.isoformat(), "weekday": f"{day:%a}", "name": why} for day, why in days]
    row = _level_row(name, level)
    if as_json:
        print_fields({**row, "closed": closed}, as_json=True)
        return
    print_fields(row, as_json=False)
    click.echo()
    print_rows(closed, as_json=False)


def _named(known: Mapping[str, T], name: str, what: str) -> T:
    if name not in known:
        raise click.ClickException(f"there is no {what} {name!r}; there are {', '.join(known)}")
    return known[name]


def _model_row(model: ServiceModel) -> Row:
    return {
        "name": model.name,
        "title": model.title,
        "on_alert": model.on_alert,
        "requires_monitoring_consent": model.requires_monitoring_consent,
        "priority_shift": model.priority_shift,
        "sla": model.sla,
        "slas": list(model.may_carry_slas),
        "support_level": model.support_level,
        "support_levels": list(model.may_carry_support_levels),
        "monitored": list(model.monitored),
        "maintained": list(model.maintained),
        "reported": list(model.reported),
        "charge": model.charge.model_dump(mode="json", exclude_none=True),
        "onboarding": [step.model_dump() for step in model.onboarding],
    }


def _sla_rows(name: str, sla: Sla, people: frozenset[str] | None) -> list[Row]:
    """`people`: technicians and groups; None: not known, for want of a database."""
    to = sla.escalate_to
    return [
        {
            "sla": name,
            "priority": priority,
            "response": _length(of.response),
            "resolution": _length(of.resolution),
            "warn_at": sla.warn_at,
            "escalate_to": to,
            NOBODY: None if people is None else to is not None and to not in people,
        }
        for priority, of in sorted(sla.targets.items())
    ]


def _level_row(name: str, level: SupportLevel) -> Row:
    return {
        "name": name,
        "title": level.title,
        "hours": level.hours,
        "time_zone": level.time_zone,
        "holidays": level.holidays,
        "worked_days": list(level.worked_days),
        "closing_days": dict(level.closing_days),
    }


def _length(length: timedelta | None) -> str | None:
    if length is None:
        return None
    hours, minutes = divmod(length // timedelta(minutes=1), 60)
    return f"{hours}:{minutes:02}"
