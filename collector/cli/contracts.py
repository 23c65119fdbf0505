"""`contracts`: what was agreed with a customer, from when to when."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.contract_words import agreed, covered
from collector.cli.local_time import DAY
from collector.cli.service_models import models, slas, support_levels
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.contracts.charge import Money
from collector.contracts.scope import ContractScope
from collector.contracts.term import Term
from collector.db.database import Database
from collector.fleet import contracts as store
from collector.fleet.agreements import Agreement, Consent
from collector.fleet.contract_terms import term_of_contract, terms_of_contracts
from collector.fleet.contracts import Contract
from collector.incidents.onboarding import onboard
from protocol.wire import Kind

F = TypeVar("F", bound=Callable[..., Any])

_MONEY = TypeAdapter(Money)
_SCOPE = {"sites": "scope_sites", "kinds": "scope_kinds", "tags": "scope_tags", "devices": "scope_devices"}
COLUMNS = ["id", "customer", "plan", "valid_from", "valid_to", "number", "term_ends_at", "notice", "sla", "scope"]


class Amount(click.ParamType[Decimal]):
    """Money, such as 95.50."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            return _MONEY.validate_python(str(value))
        except ValidationError:
            self.fail(f"write an amount with at most two decimals, such as 95.50, not {value!r}", param, ctx)


AMOUNT = Amount()

_TERMS = (
    click.option("--number", help="Of the signed document."),
    click.option("--signed-on", type=DAY, help="The day on which it was signed."),
    click.option("--term-months", type=int, help="For how long it was agreed, if not until further notice."),
    click.option("--fee", type=AMOUNT, help="A month, instead of the model's."),
    click.option("--hourly-rate", type=AMOUNT, help="Instead of the model's."),
    click.option("--included-minutes", type=int, help="A month, instead of the model's."),
    click.option("--currency", help="ISO 4217, such as EUR."),
    click.option("--sla", help="One that the model may have: contracts models NAME."),
    click.option("--support-level", help="One that the model may have."),
)
_SCOPE_AND_CONSENT = (
    click.option("--site", "scope_sites", multiple=True, help="Covers only this site; may be repeated."),
    click.option(
        "--kind",
        "scope_kinds",
        multiple=True,
        type=click.Choice([kind.value for kind in Kind]),
        help="Covers only devices of this kind; may be repeated.",
    ),
    click.option("--tag", "scope_tags", multiple=True, help="Covers only devices with this tag; may be repeated."),
    click.option("--device", "scope_devices", multiple=True, help="Covers this device; may be repeated."),
    click.option(
        "--monitoring-consent",
        "consent",
        metavar="'WHO, DATE'",
        help="Who at the customer agreed to be monitored, and when.",
    ),
)


def terms_options(command: F) -> F:
    """What is agreed for all that a customer has."""
    for option in reversed(_TERMS):
        command = option(command)
    return command


def agreed_options(command: F) -> F:
    for option in reversed((*_TERMS, *_SCOPE_AND_CONSENT)):
        command = option(command)
    return command


def given_terms(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say, by the field of an agreement."""
    given = {name: value for name, value in options.items() if value is not None}
    if "signed_on" in given:
        given["signed_on"] = given["signed_on"].date()
    return given


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say, by the field of an agreement; with `consent` if it is given."""
    scope = ContractScope(**{field: tuple(options.pop(option)) for field, option in _SCOPE.items()})
    given = given_terms(options)
    if "consent" in given:
        given["consent"] = Consent.parse(given["consent"])
    if scope != ContractScope():
        given["scope"] = scope
    return given


def from_day(day: datetime | None, now: datetime) -> datetime:
    """The beginning of a day by this machine's time zone; today, or none, is now."""
    return now if day is None or day.date() == now.astimezone().date() else day.astimezone()


@click.group()
def contracts() -> None:
    """Contracts, past, present and planned: one at a time for each customer.

    E.g. `contracts list`.
    """


contracts.add_command(models)
contracts.add_command(slas)
contracts.add_command(support_levels)


@contracts.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option(
    "--ending-within",
    "within_days",
    type=click.IntRange(min=1),
    help="Only those that hold now, or will, and that are over, or go on for another term, in so many days; none that "
    "another one follows.",
)
@json_option
@with_database
async def list_command(
    database: Database, _settings: Settings, customer: str | None, *, within_days: int | None, as_json: bool
) -> None:
    """List contracts in the order in which they begin.

    E.g. `contracts list --customer acme` or `contracts list --ending-within 60`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_contracts(connection, customer)
    terms = terms_of_contracts(found, now)
    if within_days is not None:
        until = now + timedelta(days=within_days)
        found = [
            one
            for one in found
            if (term := terms[one.id]) is not None and term.followed_by is None and now < term.ends_at <= until
        ]
    print_rows([_row(contract, terms[contract.id]) for contract in found], as_json=as_json, columns=COLUMNS)


@contracts.command("show")
@click.argument("contract", type=int)
@json_option
@with_database
async def show(database: Database, settings: Settings, contract: int, as_json: bool) -> None:
    """Show all that holds under a contract; what it leaves out is as its model says.

    E.g. `contracts show 3`.
    """
    async with database.connect() as connection:
        found = await store.get_contract(connection, contract)
        term = await term_of_contract(connection, found, system_clock())
    _print(found, term, settings, as_json=as_json)


@contracts.command("add")
@click.argument("customer")
@click.option("--plan", required=True, help="Its service model: contracts models.")
@click.option(
    "--from", "first_day", type=DAY, help="The first day, by this machine's time zone.  [default: it begins now]"
)
@click.option("--until", "end_day", type=DAY, help="The day on which it no longer holds.")
@agreed_options
@json_option
@with_database
async def add(
    database: Database,
    settings: Settings,
    /,
    *,
    customer: str,
    plan: str,
    first_day: datetime | None,
    end_day: datetime | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Add a contract for a time in which the customer has none.

    E.g. `contracts add acme --plan monthly --from 2027-01-01 --fee 250 --sla standard --support-level 8x5 --site hq`.
    """
    given = _given(options)
    consent = given.pop("consent", None)
    now = system_clock()
    models_known = load_service_models(settings.data)
    async with database.begin() as connection:
        made = await store.add_contract(
            connection,
            models_known,
            customer=customer,
            plan=plan,
            agreement=Agreement(**given),
            consent=consent,
            valid_from=from_day(first_day, now),
            valid_to=None if end_day is None else end_day.astimezone(),
            actor=actor(),
            now=now,
        )
        term = await term_of_contract(connection, made, now)
    _print(made, term, settings, as_json=as_json)


@contracts.command("change")
@click.argument("contract", type=int)
@click.option("--plan", help="Another service model.")
@click.option("--from", "first_day", type=DAY, help="The first day of the change.  [default: now]")
@click.option("--until", "end_day", type=DAY, help="The day on which it no longer holds.")
@agreed_options
@click.option(
    "--unset",
    "unset",
    multiple=True,
    type=click.Choice([*Agreement.__annotations__, "valid_to"]),
    help="As the model says, for all devices, or until further notice again; may be repeated.",
)
@click.option("--current-prices", is_flag=True, help="Take the model's prices of now; else they stay as agreed.")
@json_option
@with_database
async def change(
    database: Database,
    settings: Settings,
    /,
    *,
    contract: int,
    plan: str | None,
    first_day: datetime | None,
    end_day: datetime | None,
    unset: tuple[str, ...],
    current_prices: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Change what is given, from a day on: until then the contract stays as it was, and what follows has a new number.

    E.g. `contracts change 3 --from 2027-01-01 --fee 275`.
    """
    changes: dict[str, Any] = dict.fromkeys(unset) | _given(options)
    if plan is not None:
        changes["plan"] = plan
    if end_day is not None:
        changes["valid_to"] = end_day.astimezone()
    if not changes and not current_prices:
        raise click.UsageError("say what shall change, such as --fee 275")
    now = system_clock()
    models_known = load_service_models(settings.data)
    async with database.begin() as connection:
        found = await store.change_contract(
            connection,
            models_known,
            contract,
            changes=changes,
            starts_at=from_day(first_day, now),
            current_prices=current_prices,
            actor=actor(),
            now=now,
        )
        term = await term_of_contract(connection, found, now)
    _print(found, term, settings, as_json=as_json)


@contracts.command("onboard")
@click.argument("contract", type=int)
@with_database
async def onboard_command(database: Database, settings: Settings, contract: int) -> None:
    """Have a customer taken on: the steps that the plan names become one ticket with a checklist, now or when the
    contract begins, once for each customer and plan. Prints its number, if it opens now.

    E.g. `contracts onboard 3`.
    """
    models_known = load_service_models(settings.data)
    async with database.begin() as connection:
        made = await onboard(connection, models_known, contract, actor=actor(), now=system_clock())
    if made.ticket is not None:
        click.echo(made.ticket)
    else:
        click.echo(f"the ticket opens when the contract begins: {_told(made.begins_at)}", err=True)


@contracts.command("end")
@click.argument("contract", type=int)
@click.option("--on", "day", type=DAY, help="The day on which it no longer holds.  [default: now]")
@with_database
async def end(database: Database, _settings: Settings, contract: int, day: datetime | None) -> None:
    """End a contract. What fires afterwards opens no ticket.

    E.g. `contracts end 3 --on 2027-01-01`.
    """
    now = system_clock()
    wanted = from_day(day, now)
    async with database.begin() as connection:
        ended = await store.end_contract(connection, contract, ends_at=wanted, actor=actor(), now=now)
        term = await term_of_contract(connection, ended, now)
    assert ended.valid_to is not None  # noqa: S101 - it ends now, or did before
    if day is not None and now < ended.valid_to < wanted:
        follower = None if term is None else term.followed_by
        instead = (
            f"end the one that follows with: contracts end {follower} --on {day:%Y-%m-%d}"
            if follower is not None
            else f"have it end later with: contracts change {contract} --until {day:%Y-%m-%d}"
        )
        raise click.ClickException(f"contract {contract} ends {_told(ended.valid_to)}, before that day: {instead}")
    ends = f"ended {_told(ended.valid_to)}, before" if ended.valid_to < now else f"ends {_told(ended.valid_to)}"
    click.echo(f"contract {contract} of {ended.customer} {ends}", err=True)


def _print(contract: Contract, term: Term | None, settings: Settings, *, as_json: bool) -> None:
    row = _row(contract, term)
    if as_json:
        print_fields(row, as_json=True)
        return
    model = load_service_models(settings.data).get(contract.plan)
    in_words = {"charge", "scope", *Agreement.__annotations__} - {"number", "signed_on", "term_months"}
    plain = {name: value for name, value in row.items() if name not in in_words}
    held, notices = agreed(contract, model)
    print_fields({**plain, "covers": covered(contract), **held}, as_json=False)
    for notice in notices:
        click.echo(f"note: {notice}", err=True)


def _told(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}"


def _row(contract: Contract, term: Term | None) -> Row:
    own = {name: contract.agreement.told().get(name) for name in Agreement.__annotations__}
    return {
        "id": contract.id,
        "customer": contract.customer,
        "plan": contract.plan,
        "valid_from": contract.valid_from,
        "valid_to": contract.valid_to,
        **own,
        "term_ends_at": None if term is None else term.ends_at,
        "notice": None if term is None else term.notice,
        "monitoring_consent_by": contract.consent.by if contract.consent else None,
        "monitoring_consent_on": contract.consent.on if contract.consent else None,
        "charge": None if contract.charge is None else contract.charge.model_dump(mode="json", exclude_none=True),
    }
