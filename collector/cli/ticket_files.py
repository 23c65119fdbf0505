"""`tickets attach`, `attachments`, `fetch-attachment`, `detach`: files beside tickets."""

from pathlib import Path

import click

from collector.cli.common import actor, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import attachments as store
from collector.desk.attachments import MAX_FILE_BYTES
from collector.desk.reading import get_ticket

COLUMNS = ["id", "name", "media_type", "size_bytes", "public", "added_by", "added_at"]


@click.command("attach")
@click.argument("number", type=int)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--public", "is_public", is_flag=True, help="The customer sees it too.")
@with_database
async def attach(database: Database, _settings: Settings, number: int, file: Path, *, is_public: bool) -> None:
    """Put a file beside a ticket; it is kept as it is. Up to 10 MiB, and 50 files a ticket.

    E.g. `tickets attach 1001 screen.png`.
    """
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    async with database.begin() as connection:
        made = await store.attach(
            connection,
            number,
            name=file.name,
            content=content,
            is_public=is_public,
            actor=actor(),
            now=system_clock(),
        )
    click.echo(f"ticket {number}: {made.name} is file {made.id}", err=True)


@click.command("attachments")
@click.argument("number", type=int)
@json_option
@with_database
async def attachments(database: Database, _settings: Settings, number: int, *, as_json: bool) -> None:
    """List the files beside a ticket.

    E.g. `tickets attachments 1001`.
    """
    async with database.connect() as connection:
        await get_ticket(connection, number)
        found = await store.list_attachments(connection, number)
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "media_type": one.media_type,
            "size_bytes": one.size_bytes,
            "sha256": one.digest,
            "public": one.is_public,
            "added_by": one.added_by,
            "added_at": one.added_at,
        }
        for one in found
    ]
    print_rows(
        rows, as_json=as_json, columns=["id", "name", "media_type", "size_bytes", "public", "added_by", "added_at"]
    )


@click.command("fetch-attachment")
@click.argument("number", type=int)
@click.argument("file_id", metavar="FILE", type=int)
@click.option("--to", type=click.Path(path_type=Path), help="Where to write it.  [default: its name, here]")
@with_database
async def fetch_attachment(database: Database, _settings: Settings, number: int, file_id: int, to: Path | None) -> None:
    """Write a file of a ticket to disk; a file that is there is not overwritten.

    E.g. `tickets fetch-attachment 1001 3`.
    """
    async with database.connect() as connection:
        found = await store.get_attachment(connection, number, file_id)
        content = await store.content_of(connection, number, file_id)
    path = to or Path(found.name)
    if path.is_dir():
        path /= found.name
    try:
        with path.open("xb") as opened:
            opened.write(content)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already: name another place with --to") from None
    except OSError as exc:
        raise click.ClickException(f"{path}: {exc.strerror}: name another place with --to") from exc
    click.echo(f"wrote {path} ({len(content)} bytes)", err=True)


@click.command("detach")
@click.argument("number", type=int)
@click.argument("file_id", metavar="FILE", type=int)
@with_database
async def detach(database: Database, _settings: Settings, number: int, file_id: int) -> None:
    """Delete a file of a ticket; that it was there stays on record.

    E.g. `tickets detach 1001 3`.
    """
    async with database.begin() as connection:
        await store.remove(connection, number, file_id, actor=actor(), now=system_clock())
    click.echo(f"ticket {number}: file {file_id} is deleted", err=True)
