"""`contacts`: the people at a customer."""

from typing import Any

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.languages import LANGUAGES
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import contacts as store
from collector.fleet.contacts import Contact, Person
from collector.fleet.people import Language


@click.group()
def contacts() -> None:
    """Contacts: who reports at a customer, who is asked and written to.

    E.g. `contacts list --customer acme`.
    """


@contacts.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option("--all", "with_ended", is_flag=True, help="Also those that have ended, without their names.")
@json_option
@with_database
async def list_command(
    database: Database, _settings: Settings, *, customer: str | None, with_ended: bool, as_json: bool
) -> None:
    """List contacts.

    E.g. `contacts list --customer acme --json`.
    """
    async with database.connect() as connection:
        found = await store.contacts_after(connection, customer=customer, with_ended=with_ended)
    print_rows([_row(one) for one in found], as_json=as_json)


@contacts.command("show")
@click.argument("contact", type=int)
@json_option
@with_database
async def show(database: Database, _settings: Settings, contact: int, as_json: bool) -> None:
    """Show a contact.

    E.g. `contacts show 3`.
    """
    async with database.connect() as connection:
        found = await store.get_contact(connection, contact)
    print_fields(_row(found), as_json=as_json)


@contacts.command("add")
@click.argument("customer")
@click.option("--name", required=True, help="The person's name.")
@click.option("--email", help="Where to write to.")
@click.option("--phone", help="Such as +31 20 123 4567.")
@click.option("--language", type=LANGUAGES, default="nl", show_default=True, help="To write in.")
@click.option("--site", help="Where this person is asked about; any, if it is left out.")
@click.option("--main", "is_main", is_flag=True, help="Is asked first, instead of who was before.")
@json_option
@with_database
async def add(
    database: Database,
    _settings: Settings,
    /,
    *,
    customer: str,
    language: str,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Add a contact.

    E.g. `contacts add acme --name "J. Jansen" --email j.jansen@acme.example --language nl --main`.
    """
    person = Person(language=Language(language), **said)
    async with database.begin() as connection:
        made = await store.add_contact(connection, customer, person, actor=actor(), now=system_clock())
    print_fields(_row(made), as_json=as_json)


@contacts.command("change")
@click.argument("contact", type=int)
@click.option("--name", help="The person's name.")
@click.option("--email", help="Where to write to; empty: nowhere.")
@click.option("--phone", help="Empty: none.")
@click.option("--language", type=LANGUAGES, help="To write in.")
@click.option("--site", help="Where this person is asked about; empty: any.")
@click.option("--main/--not-main", "is_main", default=None, help="Whether this person is asked first.")
@json_option
@with_database
async def change(
    database: Database,
    _settings: Settings,
    /,
    *,
    contact: int,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - as click made them
) -> None:
    """Change what is given, and nothing else.

    E.g. `contacts change 3 --phone "+31 20 123 4567"`.
    """
    changes: dict[str, Any] = {
        name: value if value != "" else None for name, value in said.items() if value is not None
    }
    if not changes:
        raise click.UsageError("say what shall change, such as --phone")
    if "language" in changes:
        changes["language"] = Language(changes["language"])
    async with database.begin() as connection:
        found = await store.change_contact(connection, contact, changes, actor=actor(), now=system_clock())
    print_fields(_row(found), as_json=as_json)


@contacts.command("end")
@click.argument("contact", type=int)
@with_database
async def end(database: Database, _settings: Settings, contact: int) -> None:
    """Write to somebody no more. Name, address and phone number are erased.

    E.g. `contacts end 3`.
    """
    async with database.begin() as connection:
        await store.end_contact(connection, contact, actor=actor(), now=system_clock())
    click.echo(f"contact {contact} is written to no more; what named the person is erased", err=True)


def _row(contact: Contact) -> Row:
    person = contact.person
    return {
        "id": contact.id,
        "customer": contact.customer,
        "site": person.site,
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "language": person.language,
        "is_main": person.is_main,
        "created_at": contact.created_at,
        "ended_at": contact.ended_at,
    }
