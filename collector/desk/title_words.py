"""Tickets by words of their titles, in whatever case, as far as ASCII goes.

Both databases keep an index of which three characters stand together in which titles (migrations 0020 and 0022), from
which those that may have a rare word are found at once. PostgreSQL takes its own when it expects few. SQLite knows
nothing of how rare a word is: here the first few are asked for, and counted.
"""

from string import ascii_lowercase, ascii_uppercase

from sqlalchemy import ColumnElement, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import tickets

FEW = 500  # tickets that are sooner looked at one by one than found among all
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_SOME = text("SELECT rowid FROM ticket_words WHERE ticket_words MATCH :together LIMIT :most")


def has_words(words: str, dialect: str) -> ColumnElement[bool]:
    escaped = words.replace("/", "//").replace("%", "/%").replace("_", "/_")
    if dialect == "sqlite":
        return tickets.c.title.like(f"%{escaped}%", escape="/")
    return func.lower(tickets.c.title.collate("C")).like(f"%{escaped.translate(_LOWER)}%", escape="/")


async def few_that_may_have(connection: AsyncConnection, words: str) -> list[int] | None:
    """Numbers of the only tickets that may have these words. None: too many to be told, or too short a word."""
    together = {words[start : start + 3].replace('"', '""') for start in range(len(words) - 2)}
    if connection.dialect.name != "sqlite" or not together:
        return None
    wanted = {"together": " ".join(f'"{three}"' for three in sorted(together)), "most": FEW + 1}
    found = list(await connection.scalars(_SOME, wanted))
    return found if len(found) <= FEW else None
