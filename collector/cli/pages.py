"""Long lists are printed page by page, so that a command holds a page of them at a time, however long they are."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import click

from collector.cli.common import Row, print_rows
from collector.cli.tables import to_json

PAGE = 500  # rows read at once
MAX_SHOWN = 2_000  # rows of a table, whose columns are as wide as the longest of them


async def print_pages(
    pages: AsyncGenerator[Sequence[Row], None], *, as_json: bool, columns: Sequence[str] | None = None
) -> None:
    """As `print_rows` prints the rows of all pages; for people the first MAX_SHOWN, and a note if there are more."""
    async with aclosing(pages):
        if as_json:
            await _print_json(pages)
            return
        rows: list[Row] = []
        async for page in pages:
            rows += page
            if len(rows) > MAX_SHOWN:
                break
    print_rows(rows[:MAX_SHOWN], as_json=False, columns=columns)
    if len(rows) > MAX_SHOWN:
        note = f"note: there are more than these {MAX_SHOWN}: say which are wanted, or take them all with --json"
        click.echo(note, err=True)


async def _print_json(pages: AsyncGenerator[Sequence[Row], None]) -> None:
    before = "[\n  "
    async for page in pages:
        for row in page:
            told = json.dumps(row, default=to_json, ensure_ascii=False, indent=2).replace("\n", "\n  ")
            click.echo(before + told, nl=False)
            before = ",\n  "
    click.echo("[]" if before.startswith("[") else "\n]")
