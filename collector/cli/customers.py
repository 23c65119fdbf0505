"""`customers`: who is looked after, and on which plan."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database, with_new_database
from collector.cli.contracts import from_day, given_terms, terms_options
from collector.cli.customers_end import end
from collector.cli.local_time import DAY
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.fleet import customers as store
from collector.fleet import silent
from collector.fleet.agreements import Agreement, Consent
from collector.fleet.contract_terms import Held, held_at
from collector.fleet.contracts import list_contracts
from collector.fleet.contracts import set_plan as store_plan
from collector.fleet.customers import Customer
from collector.fleet.policies import set_customer_policy
from collector.fleet.policy import Policy
from collector.fleet.privacy import set_privacy as store_privacy
from protocol.wire import Kind

DEFAULT = "default"

consent_option = click.option(
    "--monitoring-consent",
    "consent",
    metavar="'WHO, DATE'",
    help="Who at the customer agreed to be monitored, and when; break_fix needs it before agents can be enrolled.",
)


@click.group()
def customers() -> None:
    """Customers and their plans.

    E.g. `customers list`.
    """


customers.add_command(end)


@customers.command("add")
@click.argument("customer")
@click.option("--name", required=True, help="The full name.")
@click.option("--plan", required=True, help="monthly, break_fix, or one of your own.")
@click.option(
    "--from",
    "first_day",
    type=DAY,
    help="The first day of the contract, by this machine's time zone; it may be long past.  [default: it begins now]",
)
@terms_options
@consent_option
@with_new_database
async def add(
    database: Database,
    settings: Settings,
    /,
    *,
    customer: str,
    name: str,
    plan: str,
    first_day: datetime | None,
    consent: str | None,
    **terms: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Add a customer with a contract, which begins now, or on the day on which it began.

    E.g. `customers add acme --name "Acme BV" --plan monthly --from 2024-05-01 --term-months 36 --number 2024-011`.
    """
    models = load_service_models(settings.data)
    given = Consent.parse(consent) if consent else None
    now = system_clock()
    begins_at = from_day(first_day, now)
    async with database.begin() as connection:
        await store.add_customer(
            connection,
            models,
            customer=customer,
            name=name,
            plan=plan,
            consent=given,
            agreement=Agreement(**given_terms(terms)),
            valid_from=begins_at,
            actor=actor(),
            now=now,
        )
    until_then = (
        f", which begins {begins_at.astimezone():%Y-%m-%d %H:%M %Z}: it has no contract until then"
        if begins_at > now
        else ""
    )
    click.echo(f"added customer {customer} on plan {plan}{until_then}", err=True)


@customers.command("list")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, as_json: bool) -> None:
    """List customers with the plan that holds now.

    E.g. `customers list --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_customers(connection)
        held = held_at(await list_contracts(connection), now)
    print_rows([_row(customer, held.get(customer.id)) for customer in found], as_json=as_json)


@customers.command("show")
@click.argument("customer")
@json_option
@with_database
async def show(database: Database, _settings: Settings, customer: str, as_json: bool) -> None:
    """Show a customer with its sites.

    E.g. `customers show acme`.
    """
    async with database.connect() as connection:
        found = await store.get_customer(connection, customer)
        held = held_at(await list_contracts(connection, customer), system_clock()).get(customer)
        sites = await store.list_sites(connection, customer)
    print_fields({**_row(found, held), "sites": [site.id for site in sites]}, as_json=as_json)


@customers.command("set-plan")
@click.argument("customer")
@click.argument("plan")
@click.option(
    "--from",
    "first_day",
    type=DAY,
    help="The first day of the new plan, by this machine's time zone.  [default: now]",
)
@consent_option
@with_database
async def set_plan(
    database: Database, settings: Settings, *, customer: str, plan: str, first_day: datetime | None, consent: str | None
) -> None:
    """Change a plan, now or from a later day on.

    E.g. `customers set-plan acme break_fix --from 2027-01-01`.
    """
    models = load_service_models(settings.data)
    given = Consent.parse(consent) if consent else None
    now = system_clock()
    starts_at = from_day(first_day, now)
    async with database.begin() as connection:
        dropped = await store_plan(
            connection,
            models,
            customer=customer,
            plan=plan,
            starts_at=starts_at,
            consent=given,
            actor=actor(),
            now=now,
        )
    click.echo(f"customer {customer} is on plan {plan} from {starts_at.astimezone():%Y-%m-%d %H:%M %Z} on", err=True)
    for one in dropped:
        begins = one.valid_from.astimezone()
        click.echo(f"note: contract {one.id} ({one.plan}, from {begins:%Y-%m-%d %H:%M %Z}) is dropped", err=True)


@customers.command("set-policy")
@click.argument("customer")
@click.argument("kind", metavar="KIND", type=click.Choice([kind.value for kind in Kind]))
@click.argument("policy", metavar="POLICY", type=click.Choice([*(policy.value for policy in Policy), DEFAULT]))
@with_database
async def set_policy(database: Database, _settings: Settings, *, customer: str, kind: str, policy: str) -> None:
    """Say when a customer's devices of a kind are expected to be there, those with a policy of their own excepted.

    KIND is desktop, laptop, server, printer or other; POLICY is always, office_hours, roaming, none, or default: what
    holds for the kind.

    E.g. `customers set-policy acme desktop always`.
    """
    chosen = None if policy == DEFAULT else Policy(policy)
    async with database.begin() as connection:
        await set_customer_policy(connection, customer, Kind(kind), chosen, actor=actor(), now=system_clock())
    click.echo(f"{customer}, {kind}: {policy}", err=True)


@customers.command("set-silence")
@click.argument("customer")
@click.option("--days", type=int, default=15, show_default=True, help="Working days of silence, then it is asked.")
@click.option(
    "--retire-automatically/--propose",
    default=False,
    help="What follows when nobody answers the question and its reminders.  [default: propose]",
)
@with_database
async def set_silence(
    database: Database, _settings: Settings, *, customer: str, days: int, retire_automatically: bool
) -> None:
    """Say when a customer is asked whether a silent device is still in use.

    E.g. `customers set-silence acme --days 20`.
    """
    async with database.begin() as connection:
        await silent.set_silence(
            connection,
            customer,
            days=days,
            retire_automatically=retire_automatically,
            actor=actor(),
            now=system_clock(),
        )
    then = "retired" if retire_automatically else "proposed for retirement"
    click.echo(f"{customer}: asked after {days} working days; {then} without an answer", err=True)


@customers.command("set-privacy")
@click.argument("customer")
@click.option("--user-names/--no-user-names", default=None, help="Who is signed in, by name.")
@click.option("--software/--no-software", default=None, help="The list of installed software.")
@with_database
async def set_privacy(
    database: Database, _settings: Settings, *, customer: str, user_names: bool | None, software: bool | None
) -> None:
    """Say what inventories may hold of a customer's machines; by default only counts.

    E.g. `customers set-privacy acme --software`.
    """
    async with database.begin() as connection:
        allowed = await store_privacy(
            connection, customer, user_names=user_names, software=software, actor=actor(), now=system_clock()
        )
    told = ", ".join(f"{name}: {'yes' if value else 'no'}" for name, value in asdict(allowed).items())
    click.echo(f"{customer}: {told}", err=True)


def _row(customer: Customer, held: Held | None) -> Row:
    consent = held.contract.consent if held else None
    return {
        "id": customer.id,
        "name": customer.name,
        "plan": held.contract.plan if held else None,
        "plan_since": held.plan_since if held else None,
        "monitoring_consent": f"{consent.by}, {consent.on}" if consent else None,
        "created_at": customer.created_at,
        "ended_at": customer.ended_at,
    }
