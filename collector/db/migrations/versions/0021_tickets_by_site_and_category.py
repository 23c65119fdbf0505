"""Tickets of a site and of a category: PostgreSQL finds those of a rare one without reading all the others. SQLite
would take each for rare, and reads the index of the list, which takes it less."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_tickets_site", "tickets", ["site", "number"])
        op.create_index("ix_tickets_category", "tickets", ["category", "number"])
