"""Looks for damage: what the database says of itself, and whether its tables are those that the code knows."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from collector.db.database import Database
from collector.db.tables import metadata

MAX_PROBLEMS = 100
POSTGRESQL_ONLY = (  # indexes, see migrations 0020, 0021 and 0023
    "ix_tickets_words",
    "ix_tickets_site",
    "ix_tickets_category",
    "ix_tickets_opened_at",
    "ix_tickets_open_status",
    "ix_tickets_unassigned",
)
SQLITE_ONLY = "ticket_words"  # with what SQLite keeps for it, see migration 0022


async def problems_of(database: Database) -> list[str]:
    """One sentence for each problem, at most MAX_PROBLEMS of each sort; empty if all is well."""
    async with database.connect() as connection:
        problems = await connection.run_sync(_differences)
        if database.dialect == "sqlite":
            damage = await connection.scalars(text(f"PRAGMA integrity_check({MAX_PROBLEMS})"))
            problems += [f"the file is damaged: {found}" for found in damage if found != "ok"]
            orphans = (await connection.execute(text("PRAGMA foreign_key_check"))).fetchmany(MAX_PROBLEMS)
            problems += [f"{row[0]}: row {row[1]} points to a row of {row[2]} that is not there" for row in orphans]
    if database.dialect == "sqlite":
        problems += await _words_amiss(database)
    return problems


async def _words_amiss(database: Database) -> list[str]:
    """Changes nothing, but SQLite looks at an index of words in a transaction that could."""
    async with database.begin() as connection:
        try:
            await connection.execute(
                text("INSERT INTO ticket_words (ticket_words, rank) VALUES ('integrity-check', 1)")
            )
        except DatabaseError as exc:
            anew = "INSERT INTO ticket_words (ticket_words) VALUES ('rebuild')"
            return [f"the index of words in tickets' titles does not fit them ({exc.orig}); make it anew: {anew}"]
    return []


def _differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - slow to load, and only needed here
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    opts = {"include_name": lambda name, _type, _parents: not _is_of_one_database(name)}
    found = compare_metadata(MigrationContext.configure(connection, opts=opts), metadata)
    return [f"the tables differ from what this version expects: {difference!r}" for difference in found[:MAX_PROBLEMS]]


def _is_of_one_database(name: str | None) -> bool:
    return name is not None and (name in POSTGRESQL_ONLY or name.startswith(SQLITE_ONLY))
