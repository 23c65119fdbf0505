"""Tickets by a word of their titles, on SQLite, too: which three characters stand together in which of them."""

import sqlalchemy as sa
from alembic import op

from collector.db.errors import DatabaseError

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TAKEN_OUT = "INSERT INTO ticket_words (ticket_words, rowid, title) VALUES ('delete', old.number, old.title);"
PUT_IN = "INSERT INTO ticket_words (rowid, title) VALUES (new.number, new.title);"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    try:
        # Only whether they stand in a title: where in it, it says itself.
        op.execute(
            "CREATE VIRTUAL TABLE ticket_words USING fts5"
            "(title, content='tickets', content_rowid='number', tokenize='trigram', detail='none', columnsize=0)"
        )
    except sa.exc.OperationalError as exc:
        raise DatabaseError(
            f"this Python's SQLite cannot search texts ({exc.orig}): take a Python whose SQLite is 3.34 or newer "
            "and has FTS5, as those of Debian, python.org and uv have"
        ) from exc
    op.execute("INSERT INTO ticket_words (ticket_words) VALUES ('rebuild')")
    # No ticket is ever deleted.
    op.execute(f"CREATE TRIGGER ticket_words_opened AFTER INSERT ON tickets BEGIN {PUT_IN} END")
    op.execute(f"CREATE TRIGGER ticket_words_changed AFTER UPDATE OF title ON tickets BEGIN {TAKEN_OUT} {PUT_IN} END")
