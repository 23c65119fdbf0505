"""`contracts`: which plan held and holds for a customer."""

import click

from collector.cli.common import json_option, print_rows, with_database
from collector.cli.service_models import models, slas, support_levels
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import customers as store


@click.group()
def contracts() -> None:
    """Contracts, past, present and planned. `customers set-plan` makes a new one.

    E.g. `contracts list`.
    """


contracts.add_command(models)
contracts.add_command(slas)
contracts.add_command(support_levels)


@contracts.command("list")
@click.option("--customer", help="Only those of this customer.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, customer: str | None, as_json: bool) -> None:
    """List contracts in the order in which they begin.

    E.g. `contracts list --customer acme`.
    """
    async with database.connect() as connection:
        found = await store.list_contracts(connection, customer)
    rows = [
        {
            "id": contract.id,
            "customer": contract.customer,
            "plan": contract.plan,
            "valid_from": contract.valid_from,
            "valid_to": contract.valid_to,
            "monitoring_consent_by": contract.consent.by if contract.consent else None,
            "monitoring_consent_on": contract.consent.on if contract.consent else None,
        }
        for contract in found
    ]
    print_rows(rows, as_json=as_json)
