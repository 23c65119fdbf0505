"""Tickets by a word of their titles: PostgreSQL finds it in an index of what three letters stand together, if it has
its own extension for that and this role may create it. SQLite looks at every title, which takes it less."""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

logger = logging.getLogger(__name__)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            connection.execute(
                sa.text(
                    'CREATE INDEX ix_tickets_words ON tickets USING gin (lower(title COLLATE "C") gin_trgm_ops) '
                    "WITH (gin_pending_list_limit = 256)"  # kB that every search reads through
                )
            )
            connection.execute(sa.text("ANALYZE tickets"))  # how rare a word is, from the start
    except sa.exc.DBAPIError as exc:
        if exc.connection_invalidated:
            raise
        logger.warning("no index of the words of titles, tickets are searched title by title: %s", exc.orig)
