"""`tokens`: what lets agents enrol, and programs read or write."""

from datetime import timedelta

import click

from collector.cli.common import DURATION, actor, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.fleet import tokens as store
from collector.fleet.roles import Role
from collector.fleet.tokens import ACCESS_ROLES, ENROLLMENT_LIFETIME
from protocol.wire import Kind


@click.group()
def tokens() -> None:
    """Tokens, each shown once when it is made.

    E.g. `tokens list`.
    """


@tokens.command("create")
@click.option("--customer", help="Whose devices may enrol.")
@click.option("--site", help="The devices' site, made if it is unknown.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in Kind]), help="What the devices are. Makes an enrolment token."
)
@click.option("--uses", type=click.IntRange(1, store.MAX_USES), help="How many devices may enrol.  [default: 1]")
@click.option(
    "--role",
    type=click.Choice([role.value for role in ACCESS_ROLES]),
    help="Makes an access token instead, for /api/desk/v1: a viewer reads, a technician also writes.",
)
@click.option("--user", help="Whose access token it is: what is done with it bears this name.")
@click.option(
    "--expires",
    "lifetime",
    type=DURATION,
    help="After how long, such as 12h or 30d.  [default: enrolment 7d, access never]",
)
@with_database
async def create(
    database: Database,
    settings: Settings,
    *,
    customer: str | None,
    site: str | None,
    kind: Kind | None,
    uses: int | None,
    role: Role | None,
    user: str | None,
    lifetime: timedelta | None,
) -> None:
    """Print a new token, to enrol devices, to read or to write.

    \b
    E.g. `tokens create --customer acme --site hq --kind server --uses 1`
    or   `tokens create --role technician --user anna`.
    """
    now = system_clock()
    if role is not None:
        if kind is not None or uses is not None:
            raise click.UsageError("--kind and --uses belong to an enrolment token, --role makes an access token")
        async with database.begin() as connection:
            secret = await store.create_access_token(
                connection,
                role=Role(role),
                customer=customer,
                site=site,
                user=user,
                lifetime=lifetime,
                actor=actor(),
                now=now,
            )
        if role == Role.SENDER:
            click.echo(f"note: so far nothing takes a token of role {role}", err=True)
    else:
        if user is not None:
            raise click.UsageError("--user belongs to an access token: name its --role")
        if customer is None or site is None or kind is None:
            raise click.UsageError("an enrolment token needs --customer, --site and --kind; an access token --role")
        models = load_service_models(settings.data)
        async with database.begin() as connection:
            secret = await store.create_enrollment_token(
                connection,
                models,
                customer=customer,
                site=site,
                kind=Kind(kind),
                uses=uses or 1,
                lifetime=lifetime or ENROLLMENT_LIFETIME,
                actor=actor(),
                now=now,
            )
    click.echo(secret)


@tokens.command("list")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, as_json: bool) -> None:
    """List tokens without their secrets.

    E.g. `tokens list --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_tokens(connection)
    rows = [
        {
            "id": token.id,
            "role": token.role,
            "user": token.user,
            "customer": token.customer,
            "site": token.site,
            "kind": token.kind,
            "uses_left": token.uses_left,
            "usable": token.is_usable(now),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
        }
        for token in found
    ]
    print_rows(rows, as_json=as_json)


@tokens.command("revoke")
@click.argument("token", type=int)
@with_database
async def revoke(database: Database, _settings: Settings, token: int) -> None:
    """Take a token out of use, by its id. Devices that enrolled with it stay.

    E.g. `tokens revoke 3`.
    """
    async with database.begin() as connection:
        await store.revoke_token(connection, token, actor=actor(), now=system_clock())
    click.echo(f"revoked token {token}", err=True)
