"""`users`: who signs in, and whose tokens work for them."""

import sys
from typing import Any

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.languages import LANGUAGES
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import users as store
from collector.fleet.people import Language
from collector.fleet.roles import USER_ROLES, Role
from collector.fleet.users import Profile, User

ROLES = click.Choice([role.value for role in USER_ROLES])


def _contact(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    """A contact's number; empty as it is, None if nothing was said. Raises BadParameter."""
    if value is not None and value != "" and not (value.isascii() and value.isdecimal()):
        raise click.BadParameter(f"{value!r} is no contact's number; see: contacts list")
    return int(value) if value else value


@click.group()
def users() -> None:
    """Users: admin, manager, technician and viewer of the provider, and contacts of a customer.

    E.g. `users list`.
    """


@users.command("list")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, as_json: bool) -> None:
    """List users.

    E.g. `users list --json`.
    """
    async with database.connect() as connection:
        found = await store.users_after(connection)
    print_rows([_row(one) for one in found], as_json=as_json)


@users.command("show")
@click.argument("user")
@json_option
@with_database
async def show(database: Database, _settings: Settings, user: str, as_json: bool) -> None:
    """Show a user.

    E.g. `users show anna`.
    """
    async with database.connect() as connection:
        found = await store.get_user(connection, user)
    print_fields(_row(found), as_json=as_json)


@users.command("add")
@click.argument("user")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", required=True, type=ROLES, help="What this user may do.")
@click.option("--email", help="Where to write to.")
@click.option("--language", type=LANGUAGES, default="nl", show_default=True, help="To write in.")
@click.option("--customer", help="Of a contact: whose.")
@click.option("--contact", type=int, help="Of a contact: which of the customer's contacts it is.")
@click.option("--technician", help="Which technician it is.")
@json_option
@with_database
async def add(
    database: Database,
    _settings: Settings,
    /,
    *,
    user: str,
    role: str,
    language: str,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Add a user, without a password: `users set-password` gives one, `tokens create --user` a token.

    E.g. `users add anna --name "Anna de Vries" --role technician --technician anna`.
    """
    profile = Profile(role=Role(role), language=Language(language), **said)
    async with database.begin() as connection:
        made = await store.add_user(connection, user, profile, actor=actor(), now=system_clock())
    print_fields(_row(made), as_json=as_json)


@users.command("change")
@click.argument("user")
@click.option("--name", help="The person's name.")
@click.option("--role", type=ROLES, help="What this user may do; tokens that reach further are revoked.")
@click.option("--email", help="Where to write to; empty: nowhere.")
@click.option("--language", type=LANGUAGES, help="To write in.")
@click.option("--contact", callback=_contact, help="Of a contact: which of the customer's contacts; empty: none.")
@click.option("--technician", help="Which technician it is; empty: none.")
@json_option
@with_database
async def change(
    database: Database,
    _settings: Settings,
    /,
    *,
    user: str,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Change what is given, and nothing else.

    E.g. `users change anna --role manager`.
    """
    changes: dict[str, Any] = {
        name: value if value != "" else None for name, value in said.items() if value is not None
    }
    if not changes:
        raise click.UsageError("say what shall change, such as --role")
    for name, kind in (("role", Role), ("language", Language)):
        if name in changes:
            changes[name] = kind(changes[name])
    async with database.begin() as connection:
        found = await store.change_user(connection, user, changes, actor=actor(), now=system_clock())
    print_fields(_row(found), as_json=as_json)


@users.command("set-password")
@click.argument("user")
@with_database
async def set_password(database: Database, _settings: Settings, user: str) -> None:
    """Give a user a password: asked for on a terminal, else the first line of stdin; never an argument.

    E.g. `users set-password anna`.
    """
    async with database.connect() as connection:
        await store.get_user(connection, user)
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline(store.MAX_PASSWORD_CHARS + 2).rstrip("\n")
    hashed = store.hash_password(password)
    async with database.begin() as connection:
        await store.set_password(connection, user, hashed, actor=actor(), now=system_clock())
    click.echo(f"user {user} has a new password", err=True)


@users.command("disable")
@click.argument("user")
@with_database
async def disable(database: Database, _settings: Settings, user: str) -> None:
    """Let a user in no more. Tokens of this user stop working.

    E.g. `users disable anna`.
    """
    async with database.begin() as connection:
        await store.disable_user(connection, user, actor=actor(), now=system_clock())
    click.echo(f"user {user} is disabled", err=True)


@users.command("enable")
@click.argument("user")
@with_database
async def enable(database: Database, _settings: Settings, user: str) -> None:
    """Let a disabled user in again, with the tokens that were not revoked.

    E.g. `users enable anna`.
    """
    async with database.begin() as connection:
        await store.enable_user(connection, user, actor=actor(), now=system_clock())
    click.echo(f"user {user} is enabled", err=True)


def _row(user: User) -> Row:
    profile = user.profile
    return {
        "id": user.id,
        "name": profile.name,
        "role": profile.role,
        "email": profile.email,
        "language": profile.language,
        "customer": profile.customer,
        "contact": profile.contact,
        "technician": profile.technician,
        "has_password": user.has_password,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
